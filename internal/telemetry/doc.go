// Package telemetry keeps the metrics that clients push to this broker (KIP-714): who may push what, and what they pushed last.
//
// It owns the subscriptions as they are in force, what each client was told, and the latest values. It must never touch a clock, a disk or a
// socket: time is an argument, in the units of Env.Monotonic. Package api asks it for GetTelemetrySubscriptions and PushTelemetry, package
// ottla hands it the subscriptions of the metadata and shows Series to whoever scrapes. Methods may be called from any goroutine; the one
// lock is never held while something is decoded or called.
//
// Everything is bounded: clients, series of a client, series of all, names, labels, and what a push may grow to when it is opened. What is
// beyond a bound is counted, and left out. A client that asks and pushes nothing any more is forgotten after three of its intervals, with
// its series. Nothing here survives a restart: clients are told that their subscription is unknown, and ask again.
package telemetry
