//! Images: pull policy, back-off, credentials, one pull at a time for an image.
