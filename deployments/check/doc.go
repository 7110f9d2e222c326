// Package check holds the tests of what stands in deployments: that each file
// is what its reader takes it for, and that they agree with each other and with
// the services. No container engine is needed. It is a module of its own, so
// that what reads the files is a dependency of nothing else.
package check
