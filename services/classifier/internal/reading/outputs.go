package reading

import (
	"slices"

	"github.com/onrecord/onrecord/pkg/incident"
)

// Head is one of the fields that have one answer.
type Head int

// The heads, in the order of their outputs.
const (
	HeadKind Head = iota
	HeadChannel
	HeadTarget
	Heads int = iota
)

func (h Head) String() string { return [Heads]string{"kind", "channel", "target"}[h] }

// The answers of each head.
var (
	kindValues    = incident.Kinds
	channelValues = incident.Channels
	targetValues  = incident.Targets
	headValues    = [Heads][]string{plain(kindValues), plain(channelValues), plain(targetValues)}
)

// The flags are yes-or-no outputs beside the heads: by which channels it came,
// first or later; a serious threat; a weapon; each basis.
var (
	wayValues   = []incident.Channel{incident.ChannelInPerson, incident.ChannelPhone, incident.ChannelLetter, incident.ChannelPrivateMessage, incident.ChannelPublicOnline}
	flagSerious = len(wayValues)
	flagWeapon  = flagSerious + 1
	flagBasis   = flagSerious + 2
	flagNames   = flagsByName()
)

func flagsByName() []string {
	names := make([]string, 0, len(wayValues)+2+len(incident.Bases))
	for _, c := range wayValues {
		names = append(names, "by_"+string(c))
	}
	names = append(names, "serious_threat", "weapon")
	for _, b := range incident.Bases {
		names = append(names, "basis_"+string(b))
	}
	return names
}

// Outputs are the columns of a model: the answers of every head, then the flags.
var (
	headFrom    = [Heads + 1]int{0, len(kindValues), len(kindValues) + len(channelValues), len(kindValues) + len(channelValues) + len(targetValues)}
	headOutputs = headFrom[Heads]
	outputs     = headOutputs + len(flagNames)
)

// maxValues is at least the number of answers of any head.
const maxValues = 10

func plain[T ~string](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}

// output returns the column of a value as lexicon.txt names it, or -1.
func output(name string) int {
	for h, values := range headValues {
		for i, v := range values {
			if v == string(incident.KindUnknown) || v == string(incident.ChannelNotApplicable) {
				v += "_" + Head(h).String()
			}
			if v == name {
				return headFrom[h] + i
			}
		}
	}
	if i := slices.Index(flagNames, name); i >= 0 {
		return headOutputs + i
	}
	return -1
}
