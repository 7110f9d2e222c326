// Package faults breaks real processes while many phones file, mends them, and
// looks whether what was received is on record, once, with the words it was
// filed with. The cases are those of the README's table, R1 to R20.
//
// Each run has a seed that says when and where things break; a failing run
// names it. “make faults” runs the long set and prints a table,
// “make faults CASE=R4 SEED=7 RUNS=50” one case from one seed.
//
// R3 with R8, R9 and R10 are tests of services/onrecord/apart, where two breaches
// of a network are part of every run; the rows here do them all. R16 stands
// beside what it tests: services/reporting/internal/projector.
//
// The invariants, looked at after every fault:
//
//	I1  nothing received is lost: each id that was answered 200 or 201 is there
//	I2  once: no report is there twice, and every figure agrees with a recount
//	I3  no lie: nothing is there that nobody sent, or with other words
//	I4  recovery without hand work, in time
//	I5  the timelines are whole
//	I6  nobody's words stand in a log, an error or a file
package faults
