// Package apart holds the tests of the three services as they run apart: as
// processes of their own, several of each, on a cluster of NATS servers that
// read the files of deployments/nats.
package apart
