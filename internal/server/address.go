package server

import (
	"net/netip"
	"strconv"
	"strings"
)

// splitAddress cuts HOST:PORT. An IPv4 address in IPv6 clothes loses them, so that one client has one address.
func splitAddress(address string) (host string, port int32) {
	if parsed, err := netip.ParseAddrPort(address); err == nil {
		return parsed.Addr().Unmap().String(), int32(parsed.Port())
	}
	colon := strings.LastIndexByte(address, ':')
	if colon < 0 {
		return address, 0
	}
	number, err := strconv.ParseUint(address[colon+1:], 10, 16)
	if err != nil {
		return address, 0
	}
	return strings.Trim(address[:colon], "[]"), int32(number)
}

// IsLoopback reports whether HOST:PORT can be reached from this machine only: localhost or a loopback address. An empty
// host means all interfaces, and a name other than localhost is not trusted to stay what it is.
func IsLoopback(address string) bool {
	host, _ := splitAddress(address)
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
