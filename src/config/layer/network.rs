//! `[network]` and `[network.wifi]`.

use std::net::Ipv4Addr;

use crate::config::place::{At, Place, value_of};
use crate::config::secret::check_psk;
use crate::config::section::Section;
use crate::config::syntax::address::{host, interface};
use crate::config::syntax::name::domain;
use crate::config::syntax::system::{country, ssid};
use crate::config::types::{Network, ResolvConf, SecretSource, Wifi};

/// What resolv.conf(5) looks at: further servers are never asked.
const DNS_MAX: usize = 3;

/// What resolv.conf(5) looked at before glibc 2.26, which Stretch and older have.
const SEARCH_MAX: usize = 6;

/// What every `[network.wifi]` needs: without a country, the kernel keeps the radio off.
const WIFI_KEYS: [&str; 3] = ["ssid", "psk", "country"];

/// `[network]` as one file wrote it.
#[derive(Clone, Default)]
pub(in crate::config) struct NetworkLayer {
    interface: Option<At<String>>,
    /// For the checks against a node's address.
    pub(in crate::config) gateway: Option<At<Ipv4Addr>>,
    dns: Option<Vec<At<Ipv4Addr>>>,
    search: Option<Vec<At<String>>>,
    resolv_conf: Option<At<ResolvConf>>,
    /// For the check that it is whole.
    pub(in crate::config) wifi: Option<WifiLayer>,
}

/// `[network.wifi]` as one file wrote it.
#[derive(Clone)]
pub(in crate::config) struct WifiLayer {
    place: Place,
    ssid: Option<At<String>>,
    psk: Option<At<SecretSource>>,
    country: Option<At<String>>,
    hidden: Option<At<bool>>,
    /// Keys that were written, rightly or wrongly: what was reported as wrong is not missing too.
    written: Vec<&'static str>,
}

impl NetworkLayer {
    /// Reads the section.
    pub(super) fn read(section: Section<'_>, prefix: &str) -> Self {
        let layer = Self {
            interface: section.parsed("interface", interface),
            gateway: section.parsed("gateway", host),
            dns: section.parsed_list("dns", host),
            search: section.parsed_list("search", domain),
            resolv_conf: section.choice(
                "resolv_conf",
                &[
                    ("immutable", ResolvConf::Immutable),
                    ("static", ResolvConf::Static),
                    ("managed", ResolvConf::Managed),
                ],
            ),
            wifi: section.section("wifi", &format!("[{prefix}network.wifi]")).map(WifiLayer::read),
        };
        at_most(&section, "dns", layer.dns.as_deref(), DNS_MAX, "servers");
        at_most(&section, "search", layer.search.as_deref(), SEARCH_MAX, "domains");
        section.finish();
        layer
    }

    /// Key by key.
    pub(super) fn over(self, below: &Self) -> Self {
        Self {
            interface: self.interface.or_else(|| below.interface.clone()),
            gateway: self.gateway.or_else(|| below.gateway.clone()),
            dns: self.dns.or_else(|| below.dns.clone()),
            search: self.search.or_else(|| below.search.clone()),
            resolv_conf: self.resolv_conf.or_else(|| below.resolv_conf.clone()),
            wifi: match (self.wifi, &below.wifi) {
                (Some(wifi), Some(below)) => Some(wifi.over(below)),
                (wifi, below) => wifi.or_else(|| below.clone()),
            },
        }
    }

    /// With the defaults filled in; `wifi` is what [`WifiLayer::settle`] made of it.
    pub(in crate::config) fn settle(&self, wifi: Option<Wifi>) -> Network {
        let default_interface = if self.wifi.is_some() { "wlan0" } else { "eth0" };
        Network {
            interface: value_of(self.interface.as_ref()).unwrap_or_else(|| default_interface.to_owned()),
            gateway: value_of(self.gateway.as_ref()),
            dns: self.dns.iter().flatten().map(|at| at.value).collect(),
            search: self.search.iter().flatten().map(|at| at.value.clone()).collect(),
            resolv_conf: value_of(self.resolv_conf.as_ref()).unwrap_or_default(),
            wifi,
        }
    }
}

impl WifiLayer {
    fn read(section: Section<'_>) -> Self {
        let psk = section.secret("psk");
        if let Some(At { value: SecretSource::Plain(secret), place }) = &psk
            && let Err(message) = check_psk(secret)
        {
            section.report().error(place, format!("{}: {message}", section.name("psk")));
        }
        let layer = Self {
            place: section.place().clone(),
            ssid: section.parsed("ssid", ssid),
            psk,
            country: section.parsed("country", country),
            hidden: section.boolean("hidden"),
            written: WIFI_KEYS.into_iter().filter(|key| section.has(key)).collect(),
        };
        section.finish();
        layer
    }

    fn over(self, below: &Self) -> Self {
        Self {
            place: self.place,
            ssid: self.ssid.or_else(|| below.ssid.clone()),
            psk: self.psk.or_else(|| below.psk.clone()),
            country: self.country.or_else(|| below.country.clone()),
            hidden: self.hidden.or_else(|| below.hidden.clone()),
            written: self.written.into_iter().chain(below.written.iter().copied()).collect(),
        }
    }

    /// The whole of it, or where it stands and the names of the keys it lacks.
    pub(in crate::config) fn settle(&self) -> Result<Wifi, (&Place, Vec<&'static str>)> {
        match (&self.ssid, &self.psk, &self.country) {
            (Some(ssid), Some(psk), Some(country)) => Ok(Wifi {
                ssid: ssid.value.clone(),
                psk: psk.value.clone(),
                country: country.value.clone(),
                hidden: value_of(self.hidden.as_ref()).unwrap_or(false),
            }),
            _ => {
                let lacking = WIFI_KEYS.into_iter().filter(|key| !self.written.contains(key)).collect();
                Err((&self.place, lacking))
            }
        }
    }
}

fn at_most<T>(section: &Section<'_>, key: &str, list: Option<&[At<T>]>, most: usize, what: &str) {
    if let Some(first_too_many) = list.and_then(|list| list.get(most)) {
        let message = format!("{}: at most {most} {what}, the resolver looks at no more", section.name(key));
        section.report().error(&first_too_many.place, message);
    }
}
