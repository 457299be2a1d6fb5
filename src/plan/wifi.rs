//! Wi-Fi: radios are off until a country is known, in ways that differ by release (raspios.md section 4.5).

use std::collections::BTreeMap;

use crate::config::types::{Node, Wifi};
use crate::fs::metadata::Meta;
use crate::fs::path::FsPath;
use crate::inventory::types::{NetworkStack, Release};

use super::build::Inputs;
use super::cmdline::Cmdline;
use super::draft::{Draft, Reason};
use super::error::PlanError;
use super::image::{Image, path};
use super::render::ParamValue;
use super::select::text;

/// The radios of all boards, as systemd-rfkill names the files it keeps their state in.
const RADIOS: [&str; 5] = [
    "platform-3f300000.mmcnr:wlan",
    "platform-fe300000.mmcnr:wlan",
    "platform-3f300000.mmc:wlan",
    "platform-fe300000.mmc:wlan",
    "platform-1001100000.mmc:wlan",
];

/// Whether the node's address is the radio's; with Wi-Fi beside a wire the radio asks for one by DHCP.
pub(super) fn carries_address(node: &Node) -> bool {
    node.network.wifi.is_some() && is_radio(&node.network.interface)
}

/// The overlay for the image's network stack; none without Wi-Fi.
pub(super) fn overlays(inputs: &Inputs<'_>) -> Option<(&'static str, BTreeMap<&'static str, ParamValue>)> {
    let wifi = inputs.node.network.wifi.as_ref()?;
    let psk = inputs.secrets.wifi_psk.clone()?;
    let hidden = ParamValue::Plain(toml::Value::Boolean(wifi.hidden));
    let mut params = BTreeMap::from([("psk", ParamValue::Secret(psk)), ("hidden", hidden)]);
    match inputs.inventory.stack {
        NetworkStack::NetworkManager => {
            params.insert("ssid", text(&keyfile_ssid(&wifi.ssid)));
            let bytes = inputs.identity.seed.derive(&inputs.node.name, "networkmanager uuid wifi");
            let uuid = uuid::Builder::from_random_bytes(bytes).into_uuid();
            params.insert("uuid", text(&uuid.to_string()));
            let interface = &inputs.node.network.interface;
            params.insert("interface", text(if is_radio(interface) { interface } else { "wlan0" }));
            let fixed = toml::Value::Boolean(carries_address(inputs.node));
            params.insert("static", ParamValue::Plain(fixed));
            Some(("wifi-networkmanager", params))
        }
        NetworkStack::Dhcpcd => {
            params.insert("ssid", text(&supplicant_ssid(&wifi.ssid)));
            params.insert("country", text(&wifi.country));
            Some(("wifi-wpa-supplicant", params))
        }
    }
}

/// Plans what lets the radio on; the network itself is an overlay's.
pub(super) fn plan(inputs: &Inputs<'_>, draft: &mut Draft) {
    let Some(wifi) = &inputs.node.network.wifi else { return };
    let image = Image { inventory: inputs.inventory };
    match &inputs.secrets.wifi_psk {
        None => draft.error(PlanError::NoSecret { what: "the Wi-Fi passphrase".to_owned() }),
        Some(psk) if !is_key(psk.expose()) => draft.error(PlanError::Setting {
            key: "network.wifi.psk".to_owned(),
            message: "the key derived from it is not 64 hex digits".to_owned(),
        }),
        Some(_) => {}
    }
    check(wifi, draft);
    let reason = Reason::new("[network.wifi]", "the radio is on");
    if inputs.inventory.release >= Release::Buster {
        for radio in RADIOS {
            let Ok(file) = FsPath::new(&format!("/var/lib/systemd/rfkill/{radio}")) else { continue };
            draft.text(file, "0\n", Meta::root(0o644), &reason);
        }
    }
    let crda = path("/etc/default/crda");
    if let Some(Some(text)) = draft.note(image.text(&crda)) {
        let edited = super::system::with_assignment(text, "REGDOMAIN", &wifi.country);
        draft.text(crda.clone(), edited, image.meta(&crda, Meta::root(0o644)), &reason);
    }
}

/// The country for the kernel, from Bookworm on.
pub(super) fn edit_cmdline(inputs: &Inputs<'_>, cmdline: &mut Cmdline) {
    if let Some(wifi) =
        inputs.node.network.wifi.as_ref().filter(|_| inputs.inventory.release >= Release::Bookworm)
    {
        cmdline.set("cfg80211.ieee80211_regdom", &wifi.country);
    }
}

/// By the name: `wlan0`, and `wlp…` or `wlx…` where names are systemd's.
fn is_radio(interface: &str) -> bool {
    interface.starts_with("wl")
}

fn check(wifi: &Wifi, draft: &mut Draft) {
    if wifi.ssid.is_empty() || wifi.ssid.len() > 32 {
        draft.error(PlanError::Setting {
            key: "network.wifi.ssid".to_owned(),
            message: format!("a network name has 1 to 32 bytes, and this one {}", wifi.ssid.len()),
        });
    }
    if wifi.country.len() != 2 || !wifi.country.bytes().all(|byte| byte.is_ascii_uppercase()) {
        draft.error(PlanError::Setting {
            key: "network.wifi.country".to_owned(),
            message: format!("{:?} is no country code of two capital letters", wifi.country),
        });
    }
}

fn is_key(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// As keyfiles have it (`nm-settings-keyfile(5)`): plain, or the bytes as decimal numbers where GKeyFile's
/// or the list's own letters are in it.
fn keyfile_ssid(ssid: &str) -> String {
    let plain = ssid.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
        && !ssid.contains([';', '\\', '"', '#'])
        && ssid.trim() == ssid;
    if plain { ssid.to_owned() } else { ssid.bytes().map(|byte| format!("{byte};")).collect() }
}

/// As `wpa_supplicant.conf(5)` has it: quoted, or hex digits.
fn supplicant_ssid(ssid: &str) -> String {
    let plain =
        ssid.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') && !ssid.contains(['"', '\\']);
    if plain { format!("\"{ssid}\"") } else { ssid.bytes().map(|byte| format!("{byte:02x}")).collect() }
}

#[cfg(test)]
mod tests {
    use super::{keyfile_ssid, supplicant_ssid};

    #[test]
    fn writes_names_of_networks() {
        for (ssid, keyfile, supplicant) in [
            ("lab", "lab", "\"lab\""),
            ("my lab", "my lab", "\"my lab\""),
            (" lab", "32;108;97;98;", "\" lab\""),
            ("a;b", "97;59;98;", "\"a;b\""),
            ("a\"b", "97;34;98;", "612262"),
            ("ä", "195;164;", "c3a4"),
        ] {
            assert_eq!((keyfile_ssid(ssid).as_str(), supplicant_ssid(ssid).as_str()), (keyfile, supplicant));
        }
    }
}
