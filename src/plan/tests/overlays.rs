//! Overlays in a plan: parameters, conditions, templates, secrets, conflicts.

use crate::config::overlay::{LoadedOverlay, ParamType, load};
use crate::config::types::{OverlayUse, Role, Secret};
use crate::deb::testing::package;
use crate::fs::metadata::Meta;
use crate::fs::volume::Volume;
use crate::inventory::types::Release;
use crate::plan::accounts;
use crate::plan::change::Action;
use crate::plan::draft::Draft;
use crate::plan::image::Image;
use crate::plan::overlay::{Use, plan as plan_overlay};
use crate::plan::render::{ParamValue, Renderer};
use crate::plan::samples::{RELEASES, overlay};
use crate::plan::units::Units;
use crate::plan::{overlay_names, secret_params};

use super::{Bench, is_masked, is_removed, link, meta, planned, spec, text};

fn using(overlays: Vec<LoadedOverlay>, with: &str) -> Bench {
    let mut bench = Bench::new(Release::Bookworm);
    for overlay in overlays {
        bench
            .node
            .overlays
            .push(OverlayUse { name: overlay.name.clone(), with: toml::from_str(with).unwrap() });
        bench.overlays.push(overlay);
    }
    bench
}

fn using_one(manifest: &str, files: &[(&str, &str)], with: &str) -> Bench {
    using(vec![overlay("own", &format!("description = \"own\"\n{manifest}"), files)], with)
}

#[test]
fn templates_see_the_cluster_the_node_the_image_and_their_parameters() {
    let template = "{{ cluster.name }} {{ cluster.network.cidr }} {% for n in cluster.nodes %}{{ n.index }}={{ n.name }}/{{ n.ip }}/{{ n.role }} {% endfor %}.\n\
                    {{ node.name }} {{ node.address }} {{ node.ip }} {{ node.role }} {{ node.labels.disk }} {{ node.index }}\n\
                    {{ image.release }} {{ image.arch }} {{ image.stack }} {{ image.firmware }} {{ with.text }} {{ with.number + 1 }} {{ with.flag }} {{ with.many | join(\"+\") }}\n";
    let manifest = "[params]\ntext = { type = \"string\", default = \"t\" }\nnumber = { type = \"integer\" }\n\
                    flag = { type = \"boolean\" }\nmany = { type = \"list\" }\n";
    let with = "number = 41\nflag = true\nmany = [\"a\", \"b\"]";
    let plan = using_one(manifest, &[("/etc/own.j2", template)], with).plan();
    assert_eq!(
        text(&plan, "/etc/own"),
        "plexi 192.168.0.0/16 0=pi1/192.168.0.1/manager 1=pi2/192.168.0.2/worker 2=pi3/192.168.0.3/worker .\n\
         pi1 192.168.0.1/16 192.168.0.1 manager ssd 0\n\
         bookworm arm64 networkmanager /boot/firmware t 42 true a+b\n"
    );
}

#[test]
fn undefined_variables_name_overlay_template_and_line() {
    for (template, line) in
        [("{{ node.nmae }}", 1), ("a\n\n{{ nothing }}\n", 3), ("\n{% if with.x %}{% endif %}", 2)]
    {
        let errors = using_one("", &[("/etc/own.j2", template)], "").errors();
        let expected = format!("node pi1: overlay own (built in): root/etc/own.j2:{line}: undefined value");
        assert!(errors.starts_with(&expected), "{errors}");
    }
    let mut bench = using_one("", &[("/etc/own.j2", "{{ cluster.network.gateway }}")], "");
    bench.node.network.gateway = None;
    assert!(
        bench.errors().contains("root/etc/own.j2:1: invalid operation: the value is none"),
        "{}",
        bench.errors()
    );
    let errors = using_one("", &[("/etc/own.j2", "ok\n{% if %}")], "").errors();
    assert!(errors.contains("root/etc/own.j2:2: syntax error"), "{errors}");
}

#[test]
fn parameters_are_checked() {
    let manifest = "[params]\nserver = { type = \"string\", help = \"its name\" }\nport = { type = \"integer\", default = 1 }\n";
    for (with, expected) in [
        ("", "own (built in): parameter \"server\" is missing (its name)"),
        ("server = 1", "parameter \"server\" is not a text"),
        ("server = \"x\"\nport = \"y\"", "parameter \"port\" is not a whole number"),
        ("server = \"x\"\nprt = 1", "it has no parameter \"prt\"; did you mean \"port\"?"),
    ] {
        let errors = using_one(manifest, &[], with).errors();
        assert!(errors.contains(expected), "{errors}");
    }
    assert!(using_one("", &[], "x = 1").errors().contains("no parameter \"x\", nor any other"));
}

#[test]
fn secrets_render_into_narrow_files_only() {
    let manifest = |mode: &str| {
        format!(
            "[params]\nkey = {{ type = \"string\", secret = true }}\n[[file]]\npath = \"/etc/own\"\nmode = \"{mode}\"\n"
        )
    };
    let template = [("/etc/own.j2", "{% if with.key == \"x\" %}yes{% endif %}\n")];
    for (mode, fine) in [("0600", true), ("0400", true), ("0640", false), ("0700", false), ("0644", false)] {
        let mut bench = using_one(&manifest(mode), &template, "key = { prompt = \"p\" }");
        bench.secrets.overlay_params.insert((0, "key".to_owned()), Secret::new("geheim".to_owned()));
        if fine {
            assert!(spec(&bench.plan(), "/etc/own").content.is_secret());
        } else {
            let errors = bench.errors();
            assert!(
                errors.contains(&format!("root/etc/own.j2 holds a secret parameter, and its mode is {mode}")),
                "{errors}"
            );
            assert!(!errors.contains("geheim"));
        }
    }
    // A template that never looks at it may be read by all.
    let mut bench = using_one(&manifest("0644"), &[("/etc/own.j2", "plain\n")], "key = \"written here\"");
    assert!(!spec(&bench.plan(), "/etc/own").content.is_secret());
    bench.node.overlays[0].with = toml::from_str("key = { prompt = \"p\" }").unwrap();
    assert!(
        bench.errors().contains("no value was given for parameter key of overlay own"),
        "{}",
        bench.errors()
    );
}

#[test]
fn secrets_do_not_get_out_through_links_or_the_fat() {
    let params = "[params]\nkey = { type = \"string\", secret = true }\n";
    let manifest = format!("{params}[[file]]\npath = \"/etc/own\"\nlink = \"/{{{{ with.key }}}}\"\n");
    let errors = using_one(&manifest, &[], "key = \"geheim\"").errors();
    assert!(errors.contains("holds a secret parameter") && !errors.contains("geheim"), "{errors}");
    let mut own = overlay("own", &format!("description = \"d\"\n{params}"), &[("/x.j2", "{{ with.key }}")]);
    own.tree[0].volume = Volume::Boot;
    let errors = using(vec![own], "key = \"geheim\"").errors();
    assert!(errors.contains("its mode is 0755"), "{errors}");
}

#[test]
fn conditions_choose_files_and_units() {
    let manifest = "[[file]]\npath = \"/etc/own\"\nmode = \"0600\"\nwhen = { release = \"< bookworm\" }\n\
                    [[file]]\npath = \"/etc/own\"\nmode = \"0640\"\ngroup = \"adm\"\nwhen = { arch = [\"armhf\", \"arm64\"], role = \"manager\" }\n\
                    [[file]]\npath = \"/etc/never\"\nwhen = { package = \"absent\" }\n\
                    [[file]]\npath = \"/etc/dir\"\ndirectory = true\nmode = \"0700\"\nowner = \"systemd-timesync\"\n\
                    [[file]]\npath = \"/etc/gone\"\nremove = true\nwhen = { network_stack = \"networkmanager\" }\n\
                    [[file]]\npath = \"/etc/kept\"\nremove = true\nwhen = { network_stack = \"dhcpcd\" }\n\
                    [[file]]\npath = \"/etc/link\"\nlink = \"own-{{ node.name }}\"\n\
                    [units]\nmask = [{ unit = \"a.service\", when = { first_boot = \"pibake\" } }, { unit = \"b.service\", when = { first_boot = \"stock\" } }]\n";
    let files = [("/etc/own", "1"), ("/etc/never", "2"), ("/etc/plain", "3")];
    let mut bench = using_one(manifest, &files, "");
    let plan = bench.plan();
    assert_eq!(meta(&plan, "/etc/own"), Meta { mode: 0o640, uid: 0, gid: 4 });
    assert_eq!(meta(&plan, "/etc/plain"), Meta::root(0o644));
    assert!(planned(&plan, Volume::Root, "/etc/never").is_none());
    assert!(
        matches!(planned(&plan, Volume::Root, "/etc/dir"), Some(Action::Directory(m)) if *m == Meta { mode: 0o700, uid: 997, gid: 0 })
    );
    assert!(is_removed(&plan, "/etc/gone") && planned(&plan, Volume::Root, "/etc/kept").is_none());
    assert_eq!(link(&plan, "/etc/link"), Some("own-pi1"));
    assert!(is_masked(&plan, "a.service") && !is_masked(&plan, "b.service"));
    bench.node.role = Role::Worker;
    assert!(planned(&bench.plan(), Volume::Root, "/etc/own").is_none());
}

#[test]
fn units_are_enabled_by_their_install_section() {
    let unit = "[Unit]\nWantedBy=no.target\n[Install]\nWantedBy=a.target b.target\nAlias=other.service\nRequiredBy=c.target\n";
    let manifest =
        "[units]\nenable = [\"own.service\", { unit = \"ssh.socket\", wanted_by = [\"sockets.target\"] }]\n";
    let plan = using_one(manifest, &[("/etc/systemd/system/own.service", unit)], "").plan();
    let own = Some("/etc/systemd/system/own.service");
    for place in [
        "a.target.wants/own.service",
        "b.target.wants/own.service",
        "other.service",
        "c.target.requires/own.service",
    ] {
        assert_eq!(link(&plan, &format!("/etc/systemd/system/{place}")), own, "{place}");
    }
    assert_eq!(
        link(&plan, "/etc/systemd/system/sockets.target.wants/ssh.socket"),
        Some("/lib/systemd/system/ssh.socket")
    );
    assert!(planned(&plan, Volume::Root, "/etc/systemd/system/no.target.wants/own.service").is_none());
}

#[test]
fn units_that_cannot_be_enabled_are_told() {
    let enable = "[units]\nenable = [\"own.service\"]\n";
    assert!(
        using_one(enable, &[], "").errors().contains("own.service is neither planned nor known in the image")
    );
    let bare = [("/etc/systemd/system/own.service", "[Service]\n")];
    assert!(using_one(enable, &bare, "").errors().contains("has no [Install] section"));
    let both =
        "[units]\nenable = [{ unit = \"x.service\", wanted_by = [\"a.target\"] }]\nmask = [\"x.service\"]\n";
    assert!(using_one(both, &[], "").errors().contains("x.service: overlay own"));
}

#[test]
fn two_overlays_may_agree_but_not_differ() {
    let one = |name: &str, text: &str| overlay(name, "description = \"d\"", &[("/etc/own", text)]);
    using(vec![one("a", "same"), one("b", "same")], "").plan();
    let errors = using(vec![one("a", "1"), one("b", "2")], "").errors();
    assert_eq!(
        errors,
        "node pi1: /etc/own: overlay a (built in) and overlay b (built in) want different things there"
    );
    let errors = using_one("", &[("/etc/hostname", "mine")], "").errors();
    assert!(errors.contains("/etc/hostname: overlay hostname (built in) and overlay own"), "{errors}");
}

#[test]
fn owners_packages_and_names_have_to_exist() {
    let manifest = "[[file]]\npath = \"/etc/own\"\nowner = \"nobody-known\"\n[packages]\nwanted = [\"nfs-common\", \"sudo\"]\n";
    let mut bench = using_one(manifest, &[("/etc/own", "")], "");
    bench.node.overlays.push(OverlayUse { name: "absent".to_owned(), with: toml::Table::new() });
    let errors = bench.errors();
    assert!(errors.contains("/etc/own: the card has no account \"nobody-known\""), "{errors}");
    assert!(
        errors.contains("it needs the package nfs-common") && !errors.contains("package sudo"),
        "{errors}"
    );
    assert!(errors.contains("there is no overlay \"absent\""), "{errors}");
}

#[test]
fn files_may_belong_to_accounts_that_are_made() {
    let manifest = "[[file]]\npath = \"/etc/own\"\nowner = \"anna\"\ngroup = \"anna\"\n";
    let plan = using_one(manifest, &[("/etc/own", "")], "").plan();
    assert_eq!(meta(&plan, "/etc/own"), Meta { mode: 0o644, uid: 1000, gid: 1000 });
}

#[test]
fn an_overlay_of_ones_own_takes_the_place_of_a_built_in() {
    let mut bench = Bench::new(Release::Bookworm);
    bench.overlays.retain(|overlay| overlay.name != "sudo");
    assert!(bench.errors().contains("there is no overlay \"sudo\""));
    // One that declares none of the parameters is offered none.
    bench.overlays.push(overlay("sudo", "description = \"d\"", &[("/etc/sudoers.d/own", "x\n")]));
    let plan = bench.plan();
    assert_eq!(text(&plan, "/etc/sudoers.d/own"), "x\n");
    assert!(planned(&plan, Volume::Root, "/etc/sudoers.d/010_pibake").is_none());
}

#[test]
fn names_and_secrets_to_ask_for_are_listed() {
    let manifest = "[params]\nkey = { type = \"string\", secret = true }\nother = { type = \"string\", default = \"\" }\n";
    let bench = using_one(manifest, &[], "key = { prompt = \"p\" }\nother = \"x\"");
    let names = overlay_names([&bench.node]);
    assert!(names.contains("own") && names.contains("first-boot") && names.contains("hostname"));
    let asked = secret_params(&bench.node, &bench.overlays);
    assert_eq!(asked.iter().map(|(index, name, _)| (*index, *name)).collect::<Vec<_>>(), [(0, "key")]);
    assert!(asked[0].2.is_table());
}

/// Every overlay of the repository renders for every release, whether a plan would select it or not.
#[test]
fn every_overlay_of_the_folder_renders_for_every_release() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("overlays");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    let overlays = load(None, names.iter().map(String::as_str)).unwrap_or_else(|errors| panic!("{errors:?}"));
    assert!(overlays.len() >= 14, "{names:?}");
    for release in RELEASES {
        let mut bench = Bench::new(release);
        for needed in overlays.iter().flat_map(|overlay| &overlay.manifest.packages) {
            bench.inventory.packages.installed.push(package(&format!("{needed} 1 all"), ""));
        }
        let inputs = bench.inputs();
        let names = accounts::plan(&inputs, &mut Draft::default());
        for overlay in &overlays {
            let params = overlay.manifest.params.iter().map(|(name, param)| {
                let value = match param.kind {
                    _ if param.secret => ParamValue::Secret(Secret::new("s".to_owned())),
                    // A text may have to have a form.
                    ParamType::String => ParamValue::Plain(param.default.clone().unwrap_or("text".into())),
                    ParamType::Integer => ParamValue::Plain(1.into()),
                    ParamType::Boolean => ParamValue::Plain(true.into()),
                    ParamType::List => ParamValue::Plain(vec!["a", "b"].into()),
                };
                (name.clone(), value)
            });
            let used = Use { overlay, params: params.collect() };
            let (mut draft, mut units) = (Draft::default(), Units::default());
            plan_overlay(&inputs, &Renderer::new(&inputs), &names, &used, &mut units, &mut draft);
            units.plan(Image { inventory: inputs.inventory }, &mut draft);
            let finished = draft.finish().unwrap_or_else(|errors| panic!("{overlay}: {errors:?}"));
            let changes = finished.changes;
            assert!(changes.iter().all(|change| !change.why.is_empty()), "{overlay}");
        }
    }
}
