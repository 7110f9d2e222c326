package reading

// units are the places of a text from which a reading's score comes: each
// match, each word, and the text as a whole. A score is the sum over them.
type units struct {
	matches, tokens int
	scores          []int32 // by unit and output, in 1/scoreOne
	total           []int32
	stamps          []uint32 // of hashed rows that have counted in this text
	stamp           uint32
}

func (u *units) reset(matches, tokens, rows int) {
	u.matches, u.tokens = matches, tokens
	size := (matches + tokens + 1) * outputs
	if cap(u.scores) < size {
		u.scores = make([]int32, size)
	}
	u.scores = u.scores[:size]
	clear(u.scores)
	if len(u.total) == 0 {
		u.total = make([]int32, outputs)
	}
	clear(u.total)
	if len(u.stamps) < rows {
		u.stamps, u.stamp = make([]uint32, rows), 0
	}
	if u.stamp++; u.stamp == 0 { // it went round
		clear(u.stamps)
		u.stamp = 1
	}
}

func (u *units) of(unit int) []int32 { return u.scores[unit*outputs:][:outputs] }

// match and token return the unit of one, whole that of the text.
func (u *units) token(i int32) int { return u.matches + int(i) }
func (u *units) whole() int        { return u.matches + u.tokens }

// score fills u with what a model makes of a text's features.
func (m *Model) score(fs *features, u *units, matches, tokens int) {
	u.reset(matches, tokens, m.Card.Hashed)
	for _, f := range fs.all[:fs.lettered] {
		if f.IsHashed() {
			if w := m.once(f.Feature, u); w != nil {
				u.add(int(f.origin.a), int(f.origin.b), w[:headOutputs]) // they say nothing of flags
			}
			continue
		}
		unit := int(f.origin.a)
		if unit < 0 {
			unit = u.whole()
		}
		to := u.of(unit)
		for c, w := range m.dense[int(f.Feature)*outputs:][:outputs] {
			to[c] += int32(w) * (scoreOne / denseScale)
		}
	}
	for _, f := range fs.all[fs.lettered:] {
		if w := m.once(f.Feature, u); w != nil {
			b := -1
			if f.origin.b >= 0 {
				b = u.token(f.origin.b)
			}
			u.add(u.token(f.origin.a), b, w)
		}
	}
	share := letteredShare(len(fs.all) - fs.lettered)
	for unit := range matches + tokens + 1 {
		from := u.of(unit)
		if share != 64 && unit >= matches && unit != u.whole() {
			for c, s := range from {
				from[c] = s * share / 64
			}
		}
		for c, s := range from {
			u.total[c] += s
		}
	}
}

// once returns the weights of a hashed feature the first time it is met in a
// text, else nil.
func (m *Model) once(f Feature, u *units) []int8 {
	row := m.row(f)
	if row < 0 || u.stamps[row] == u.stamp {
		return nil
	}
	u.stamps[row] = u.stamp
	return m.hashed[int(row)*outputs:][:outputs]
}

// add gives the weights of a hashed feature to its places, half to each of two.
func (u *units) add(a, b int, weights []int8) {
	to := u.of(a)
	if b < 0 || b == a {
		for c, w := range weights {
			to[c] += int32(w)
		}
		return
	}
	other := u.of(b)
	for c, w := range weights {
		half := int32(w) / 2
		to[c] += int32(w) - half
		other[c] += half
	}
}
