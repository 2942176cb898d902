// Package cli is what the commands of 'ottla' have in common: the root that holds them, flags and profiles by which a cluster is reached, what is
// printed as tables, JSON and YAML, completion, and what more than one room of commands asks of a cluster.
//
// It owns the flags -b, --timeout, -o, --yes and --profile, the file of profiles with the command about it, and how errors of brokers are told. It
// must never know another command, end the process or catch signals. The rooms of commands beside it call it, and package main. The file of profiles
// is replaced as a whole, so that a crash leaves the old one or the new one.
package cli
