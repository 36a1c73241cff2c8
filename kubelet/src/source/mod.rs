//! Where pods come from: the API server and static files.
