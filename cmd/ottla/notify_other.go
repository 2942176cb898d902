//go:build !linux

package main

import "log/slog"

// Only systemd wants to be told, and it runs on Linux.

func notify(*slog.Logger, ...string) {}

func reloading() []string { return nil }
