module github.com/onrecord/onrecord/services/onrecord

go 1.26.0

require (
	github.com/gofrs/flock v0.13.1
	github.com/onrecord/onrecord/pkg v0.0.0
)

require golang.org/x/sys v0.49.0 // indirect

replace (
	github.com/onrecord/onrecord/pkg => ../../pkg
	github.com/onrecord/onrecord/proto => ../../proto
	github.com/onrecord/onrecord/services/classifier => ../classifier
	github.com/onrecord/onrecord/services/intake => ../intake
	github.com/onrecord/onrecord/services/reporting => ../reporting
)
