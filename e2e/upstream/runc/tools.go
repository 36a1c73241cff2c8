//go:build tools

// Package tools names the container runtime, so that go.mod and go.sum pin it.
package tools

import _ "github.com/opencontainers/runc"
