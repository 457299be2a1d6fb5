//! Which proxy the environment names, as curl(1) and apt do: `http_proxy` for http, `https_proxy` for https,
//! `all_proxy` for both; `no_proxy` names who is reached without.

/// What reads the environment: `std::env::var` but in tests.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The proxy for a scheme. One that is no address is passed over.
pub(super) fn of(scheme: &str, env: Environment<'_>) -> Option<ureq::Proxy> {
    let set = |name: &str| env(name).filter(|value| !value.is_empty());
    let either = |name: &str| set(name).or_else(|| set(&name.to_uppercase()));
    let named = either(&format!("{scheme}_proxy")).or_else(|| either("all_proxy"))?;
    let proxy = ureq::Proxy::new(&named).ok()?;
    let Some(without) = either("no_proxy") else { return Some(proxy) };
    let mut builder = ureq::Proxy::builder(proxy.protocol()).host(proxy.host()).port(proxy.port());
    if let (Some(user), Some(password)) = (proxy.username(), proxy.password()) {
        builder = builder.username(user).password(password);
    }
    for host in without.split(',').map(str::trim).filter(|host| !host.is_empty()) {
        builder = builder.no_proxy(host);
    }
    builder.build().ok()
}

#[cfg(test)]
mod tests {
    use super::of;

    fn host(scheme: &str, variables: &[(&str, &str)]) -> Option<String> {
        let env = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        of(scheme, &env).map(|proxy| proxy.host().to_owned())
    }

    #[test]
    fn each_scheme_has_its_own() {
        let both = [("http_proxy", "http://a:3142"), ("HTTPS_PROXY", "http://b:3128")];
        assert_eq!(host("http", &both).as_deref(), Some("a"));
        assert_eq!(host("https", &both).as_deref(), Some("b"));
        assert_eq!(host("https", &both[..1]), None);
        assert_eq!(host("http", &[("all_proxy", "http://c")]).as_deref(), Some("c"));
        assert_eq!(host("http", &[("http_proxy", "")]), None);
    }

    #[test]
    fn exceptions_are_kept() {
        let env = |name: &str| match name {
            "http_proxy" => Some("http://me:secret@a:3142".to_owned()),
            "no_proxy" => Some("localhost, .lan".to_owned()),
            _ => None,
        };
        let proxy = of("http", &env).unwrap();
        let excepted = |uri: &str| proxy.is_no_proxy(&uri.parse().unwrap());
        assert!(excepted("http://localhost/x") && excepted("http://mirror.lan/x"));
        assert!(!excepted("http://deb.debian.org/debian"));
        assert_eq!((proxy.username(), proxy.port()), (Some("me"), 3142));
    }
}
