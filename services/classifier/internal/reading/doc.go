// Package reading decides from the words of a report, and from what its writer
// answered, what kind of incident it is, how it reached staff and whom it was
// aimed at. It imports the standard library and pkg/incident only, keeps no
// state between reports, and gives the same answer to the same words always.
//
// # Label rules
//
// What a reading is right or wrong by stands in label-rules.md, for this reader
// and for any that follows it.
//
// # How the first reader works
//
// Lexicon reads a report in one pass: words are normalised with their byte
// offsets kept, one trie finds the longest phrases of the lexicon
// (lexicon.txt: classes in plain words, the values they speak for, natural-log
// odds), a few rules of context turn a class into another ("threatened to" +
// "punch" is no punch), and the odds are added up per value and turned into
// probabilities. The reporter's answer is evidence of known reliability, not
// the truth.
package reading
