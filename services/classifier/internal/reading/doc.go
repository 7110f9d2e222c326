// Package reading decides from the words of a report, and from what its writer
// answered, what kind of incident it is, how it reached staff and whom it was
// aimed at. It imports the standard library and pkg/incident only, keeps no
// state between reports, and gives the same answer to the same words always.
//
// # Label rules
//
// These are what a reading is right or wrong by, for this reader and for any
// that follows it:
//
//   - How it reached the worker decides the channel, not what it was about nor
//     where harm was threatened. "He shouted at me at the desk about the
//     Facebook post" is in person; a post that threatens to come to the office
//     is public online.
//   - E-mail, text, messaging, account journal and direct message are
//     private_message; social media, forum, review and posted video are
//     public_online; letter, note, fax, leaflet and graffiti addressed to
//     somebody are letter. A voice or video call, or a message left on a
//     voicemail, is phone.
//   - A spoken insult with no place and no physical cue has channel unknown.
//     Contact, damage to belongings and what needs somebody to be there are in
//     person without a word that says so.
//   - Unwanted touching is assault, and so are spitting at somebody, coughing in
//     their face on purpose and a thrown object that hit. A blow or a throw at
//     somebody that did not land is an attempted assault.
//   - Assault outranks attempted assault, that outranks a threat, a threat
//     outranks abuse. Damage to property outranks abuse.
//   - Two channels in one report (filmed at the desk, then posted) both get
//     probability; the first contact leads.
//   - A threat by one's employer ("threatened with a disciplinary"), a threat to
//     go to law, and a threat of self-harm are not threats against staff.
//   - An accident is no assault: hit by the barrier, bitten by a dog (but a dog
//     set on somebody is an assault).
//   - "Me" or one colleague is named_person; a team, a site, staff or "anyone
//     who works for" is any_staff; the employer as such with no person beside it
//     is organisation; a claimant or visitor is other_person.
//   - A hazard (exposure, missing_control, other_injury) has channel and target
//     not_applicable, whatever anybody answered.
//   - What the words do not say is unknown. In doubt a person decides.
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
