// Package reading decides from the words of a report, and from what its writer
// answered, what kind of incident it is, how it reached staff and whom it was
// aimed at. It keeps no state between reports, and gives the same answer to the
// same words on every processor.
//
// # Label rules
//
// What a reading is right or wrong by stands in label-rules.md. It is part of
// every model.
//
// # How it works
//
// Words are normalised with their byte offsets kept. One trie finds the longest
// phrases of the lexicon: lexicon.txt holds classes in plain words and what they
// speak for, world.txt what words are about at all. A few rules of context turn
// a class into another ("threatened to" + "punch" is no punch) or hush it.
// What is then there makes features (see Feature), and a model (model.bin, made
// by services/classifier/internal/training) has a weight for each of them and
// each answer.
//
// Training begins with the lexicon's own odds and moves away from them only as
// far as many examples ask for: classes carry over to words nobody here wrote,
// words and pieces of words do so less, and are held back more.
//
// Scores are summed in whole numbers, divided by a temperature, and turned into
// probabilities. The reporter's answer is evidence of known reliability, not the
// truth. Kind, channel and target then settle on what fits together.
package reading
