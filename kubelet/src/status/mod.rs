//! Pod statuses to the API server.
