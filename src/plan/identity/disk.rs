//! The disk's id, in the three places that name it, and a kernel that starts no cloud-init.

use crate::fs::metadata::Meta;
use crate::fs::volume::Volume;
use crate::plan::build::Inputs;
use crate::plan::change::{Action, Content, FileSpec};
use crate::plan::cmdline::Cmdline;
use crate::plan::draft::{Draft, Reason};
use crate::plan::error::PlanError;
use crate::plan::first_boot;
use crate::plan::fstab::partuuid;
use crate::plan::image::{Image, path};

use super::origin::{Kin, Origin};

/// Plans a fresh id of the disk; what it is, when it has one.
pub(super) fn plan(inputs: &Inputs<'_>, origin: &Origin, draft: &mut Draft) -> Option<u32> {
    let image = Image { inventory: inputs.inventory };
    let disk_id = first_boot::new_disk_id(inputs);
    first_boot::edit_fstab(inputs, image, disk_id, draft);
    let file = path("/cmdline.txt");
    match draft.note(image.text_on(Volume::Boot, &file)) {
        Some(Some(text)) => edit_cmdline(inputs, image, text, disk_id, origin, draft),
        Some(None) => {
            draft.error(PlanError::ImageLacks { what: "cmdline.txt on its FAT partition".to_owned() });
        }
        None => {}
    }
    disk_id
}

fn edit_cmdline(
    inputs: &Inputs<'_>,
    image: Image<'_>,
    text: &str,
    disk_id: Option<u32>,
    origin: &Origin,
    draft: &mut Draft,
) {
    let mut cmdline = Cmdline::parse(text);
    if let Some(new) = disk_id {
        cmdline.replace_in_root(&partuuid(inputs.inventory.layout.disk_id), &partuuid(new));
    }
    if origin.kin != Kin::Itself {
        cmdline.remove(|word| word.starts_with("ds=nocloud"));
        if image.has_package("cloud-init") {
            cmdline.set("cloud-init", "disabled");
        }
    }
    if cmdline.text() != text {
        let content = Content::Bytes(cmdline.text().into_bytes());
        let reason = Reason::new("identity", "the card's own disk id");
        let action = Action::File(FileSpec::new(content, Meta::root(0o755)));
        draft.put(Volume::Boot, path("/cmdline.txt"), action, &reason);
    }
}
