module github.com/onrecord/onrecord/services/onrecord

go 1.26.0

require (
	github.com/onrecord/onrecord/pkg v0.0.0
	github.com/onrecord/onrecord/proto v0.0.0
	github.com/onrecord/onrecord/services/intake v0.0.0
	github.com/onrecord/onrecord/services/classifier v0.0.0
	github.com/onrecord/onrecord/services/reporting v0.0.0
)

replace (
	github.com/onrecord/onrecord/pkg => ../../pkg
	github.com/onrecord/onrecord/proto => ../../proto
	github.com/onrecord/onrecord/services/intake => ../intake
	github.com/onrecord/onrecord/services/classifier => ../classifier
	github.com/onrecord/onrecord/services/reporting => ../reporting
)
