//! The one place with `unsafe` in this crate: two `SOL_NETLINK` options that rustix has no call for.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

const SOL_NETLINK: i32 = 270;
const NETLINK_CAP_ACK: i32 = 10;
const NETLINK_EXT_ACK: i32 = 11;

/// Asks for the kernel's own words in error messages, and not for a copy of the message that failed.
pub fn want_extended_errors(fd: BorrowedFd<'_>) -> io::Result<()> {
    set(fd, NETLINK_CAP_ACK)?;
    set(fd, NETLINK_EXT_ACK)
}

fn set(fd: BorrowedFd<'_>, option: i32) -> io::Result<()> {
    let one: libc::c_int = 1;
    // SAFETY: `fd` is borrowed, so it is open for the whole call; the pointer is to a live `c_int` on this
    // stack frame and the length passed is its size; the kernel only reads from it and keeps nothing.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            SOL_NETLINK,
            option,
            std::ptr::from_ref(&one).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
