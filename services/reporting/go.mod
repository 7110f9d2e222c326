module github.com/onrecord/onrecord/services/reporting

go 1.26.0

require (
	github.com/onrecord/onrecord/pkg v0.0.0
	modernc.org/sqlite v1.61.1
)

require (
	github.com/dustin/go-humanize v1.1.0 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/mattn/go-isatty v0.0.24 // indirect
	github.com/ncruces/go-strftime v1.1.0 // indirect
	github.com/remyoudompheng/bigfft v0.0.0-20230129092748-24d4a6f8daec // indirect
	golang.org/x/sys v0.49.0 // indirect
	modernc.org/libc v1.79.0 // indirect
	modernc.org/mathutil v1.7.1 // indirect
	modernc.org/memory v1.12.1 // indirect
)

replace (
	github.com/onrecord/onrecord/pkg => ../../pkg
	github.com/onrecord/onrecord/proto => ../../proto
)

// Used by the tests of modernc.org/sqlite alone; this version cannot be fetched
// everywhere, and without it "go mod tidy" settles for an older one.
exclude github.com/google/pprof v0.0.0-20261016150608-1facf8f91b50
