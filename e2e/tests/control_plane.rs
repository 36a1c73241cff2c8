//! A bare control plane is there in seconds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use anyhow::Result;
use e2e::control_plane;

#[tokio::test]
async fn a_bare_control_plane_answers() -> Result<()> {
    let server = control_plane::start().await?;
    assert!(server.url().starts_with("https://127.0.0.1:"));
    Ok(())
}
