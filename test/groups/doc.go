// Package groups drives members of consumer groups, each in a process of its own, with every foreign client: they join, rebalance, and are
// killed, as is the broker in the middle of a rebalance. Every record is seen by a member, none is skipped, and what was committed stays.
package groups
