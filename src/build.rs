//! The build script: overlays and profiles are part of the program, and a file added to them makes it anew.

fn main() {
    for directory in ["overlays", "profiles"] {
        println!("cargo:rerun-if-changed={directory}");
    }
}
