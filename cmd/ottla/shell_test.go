package main

import "github.com/ottla-io/ottla/cmd/ottla/internal/clitest"

// shell is that of the whole binary.
var shell = clitest.Shell(newRoot)
