module github.com/onrecord/onrecord/services/reporting

go 1.26.0

require github.com/onrecord/onrecord/pkg v0.0.0

replace (
	github.com/onrecord/onrecord/pkg => ../../pkg
	github.com/onrecord/onrecord/proto => ../../proto
)
