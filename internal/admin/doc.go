// Package admin is the HTTP door for operators and their monitoring, on an address of its own:
//
//	GET /metrics       Prometheus text: Go runtime, process, and the collectors that package ottla gives
//	                   ?names=jmx: the same by the names of Kafka's exporters, as package ottla says
//	GET /healthz       200 while the process serves HTTP and no health check fails: restart me when this is not so
//	GET /readyz        200 when every readiness check passes, else 503; the reasons are in the JSON either way
//	GET /trace         requests as they end, a line of JSON each: ?client=GLOB&api=NAME&for=10s
//	GET /debug/pprof/  profiles of the Go runtime
//
// It knows no broker: what it shows comes from functions and collectors that package ottla, its only caller, gives it. It
// must never change anything, take a lock that serving clients needs, or be reachable from other machines unless that was
// asked for: nothing here is authenticated. Nothing here survives a crash.
package admin
