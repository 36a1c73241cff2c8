//! The page that lists every flag is what the program says.

use std::path::Path;

#[test]
fn the_page_of_flags_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/flags/kubelet.md");
    let found = machinery::component::document::check(&path, &kubelet::config::PROGRAM.markdown());
    assert_eq!(found, Ok(()));
}
