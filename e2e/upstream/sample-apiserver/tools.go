//go:build tools

// Package tools names the upstream command that the rig builds, so that go.mod and go.sum pin it.
package tools

import (
	_ "k8s.io/sample-apiserver"
)
