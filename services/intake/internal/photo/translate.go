package photo

import (
	"bytes"
	"encoding/binary"
	"runtime"
)

// desk is what transcoding works on, and needs no longer afterwards: a scan's
// bits as they are read, and as they are written.
type desk struct {
	codes [3][2]translation // of each component, DC and AC

	read []byte // an interval, and zeros as many as a block of it can take
	at   uint   // the next bit of it

	wrote []byte
	put   int    // the next byte of it
	last  uint64 // what is not a whole byte yet, from the highest bit
	held  uint   // how many bits that is
}

// desks are as many as processors: more pictures at once would only take turns,
// and each its memory.
var desks = func() chan *desk {
	all := make(chan *desk, runtime.GOMAXPROCS(0))
	for range cap(all) {
		all <- new(desk)
	}
	return all
}()

// leave gives a desk to whoever is next, without what only a large picture needs,
// and without the codes, which hold on to the file that they came in.
func (d *desk) leave() {
	for n := range d.codes {
		d.codes[n][0].from, d.codes[n][1].from = nil, nil
	}
	const most = 1 << 20
	if cap(d.read) > most {
		d.read = nil
	}
	if cap(d.wrote) > most {
		d.wrote = nil
	}
	desks <- d
}

// mostOfBlock is the bytes of 64 numbers, of 16 bits of code and 11 of their own
// each, and of what is looked at or written beyond them.
const mostOfBlock = 64*(16+11)/8 + 16

// block says how the numbers of one block are translated.
type block struct{ dc, ac *translation }

// blocks returns those of one MCU of a picture. The second colour is mostly in
// the codes of the first, and then shares what was made for it.
func (d *desk) blocks(b *baseline, into [2][2]*huffman) (blocks []block) {
	for i, c := range b.components {
		own, n := min(i, 1), i
		if i == 2 && c.dc == b.components[1].dc && c.ac == b.components[1].ac {
			n = 1
		}
		ac := d.codes[n][1].between(b.codes[1][c.ac], into[1][own], nil)
		dc := d.codes[n][0].between(b.codes[0][c.dc], into[0][own], ac)
		for range c.h * c.v {
			blocks = append(blocks, block{dc, ac})
		}
	}
	return blocks
}

// cutInterval takes the bits of a scan up to its next marker as what is read,
// and returns what follows from the marker on; or nil where none comes.
func (d *desk) cutInterval(scan []byte) (rest []byte) {
	d.read, d.at = d.read[:0], 0
	for {
		n := bytes.IndexByte(scan, 0xff)
		if n < 0 || n+1 >= len(scan) {
			return nil
		}
		if scan[n+1] != 0 {
			d.read = append(append(d.read, scan[:n]...), make([]byte, mostOfBlock)...)
			return scan[n:]
		}
		d.read, scan = append(d.read, scan[:n+1]...), scan[n+2:]
	}
}

// left returns how many bits are left to read, less than none when too many
// were.
func (d *desk) left() int { return (len(d.read)-mostOfBlock)*8 - int(d.at) }

// written returns what was written, in whole bytes; the last is filled with ones.
func (d *desk) written() []byte {
	if d.held > 0 {
		d.write(^uint64(0)<<(56+d.held), 8-d.held)
	}
	return d.wrote[:d.put]
}

// translate reads so many MCUs of an interval and writes them in other codes. It
// reports whether the interval holds them and no more, and they are not more
// than is kept.
func (d *desk) translate(blocks []block, mcus int) bool {
	d.put, d.last, d.held = 0, 0, 0
	for range mcus {
		for _, b := range blocks {
			if len(d.wrote)-d.put < mostOfBlock {
				d.wrote = append(d.wrote, make([]byte, len(d.wrote)+1<<15)...)
			}
			if !d.block(b) || d.left() < 0 || d.put > maxStored {
				return false
			}
		}
	}
	return d.left() < 8
}

// lookAhead is how many bits of a scan are looked up at once.
const lookAhead = 12

// translation is from one code into another.
type translation struct {
	from, to *huffman
	then     *translation // after the first number; nil: it goes on
	of       []byte       // the specification of from
	ofThen   []byte
	steps    [1 << lookAhead]step
}

// step is what the next bits of a scan begin with: as many whole numbers as are
// among them, with the zeros before each, and perhaps the end of the block. It
// holds from the highest bit on what to write for that (32 bits), how many bits
// of it, how many bits to pass over, and how many places of the block they
// fill: the end counts as one place and atEnd more. Where a number is not
// whole, or sixteen zeros stand first, it is tooMany places.
type step uint64

const (
	atEnd   = 1024 // more than all else adds up to
	tooMany = 65
)

func newStep(bits uint64, written, read, places uint) step {
	return step(bits<<(64-written) | uint64(written)<<24 | uint64(read)<<16 | uint64(places))
}

// between makes it one from a code to another, unless it is that already. then
// is what comes after the first number, nil for the same again.
func (t *translation) between(from, to *huffman, then *translation) *translation {
	known := t.to == to && bytes.Equal(t.of, from.spec) && t.then == then && (then == nil || bytes.Equal(t.ofThen, then.of))
	t.from, t.to, t.then = from, to, then
	if known {
		return t
	}
	t.of = append(t.of[:0], from.spec...)
	if then != nil {
		t.ofThen = append(t.ofThen[:0], then.of...)
	}
	for next := range t.steps {
		t.steps[next] = t.first(uint64(next) << (64 - lookAhead))
	}
	return t
}

// first returns the step that the highest bits are.
func (t *translation) first(bits uint64) step {
	var out uint64
	var written, read, places uint
	for {
		symbol, length := t.from.symbol(bits << read)
		own, size := t.to.words[symbol], uint(symbol&15)
		if length == 0 || own.n == 0 || symbol == sixteenZeros && t.from.class == 1 ||
			read+length+size > lookAhead || written+uint(own.n)+size > 32 {
			break
		}
		out = out<<(uint(own.n)+size) | uint64(own.bits)<<size | bits<<(read+length)>>(64-size)
		written, read, places = written+uint(own.n)+size, read+length+size, places+1+uint(symbol>>4)
		if t.then != nil {
			t = t.then
		} else if symbol == endOfBlock {
			places += atEnd
			break
		}
	}
	if read == 0 {
		places = tooMany
	}
	return newStep(out, written, read, places)
}

// block translates one block. Zeros before its end are part of the end, however
// they were written.
func (d *desk) block(b block) bool {
	// What changes at each step is kept out of memory.
	read, at, wrote, put, last, held := d.read, d.at, d.wrote, d.put, d.last, d.held
	t, place := b.dc, uint(0)
	for place < 64 {
		next := binary.BigEndian.Uint64(read[at>>3:]) << (at & 7)
		for looks := 57 / lookAhead; looks > 0 && place < 64; looks-- {
			s := t.steps[next>>(64-lookAhead)]
			then := place + uint(s&0xffff)
			if then > 64 && (then < atEnd || then > atEnd+64) {
				d.at, d.put, d.last, d.held = at, put, last, held
				if place = d.number(t, place); place > 64 {
					return false
				}
				at, put, last, held = d.at, d.put, d.last, d.held
				t = b.ac
				break
			}
			passed := uint(s >> 16 & 63)
			next <<= passed & 63
			at += passed
			last |= uint64(s) >> 32 << 32 >> (held & 63)
			held += uint(s >> 24 & 63)
			binary.BigEndian.PutUint64(wrote[put:], last)
			put += int(held >> 3)
			last, held = last<<(held&56), held&7
			place, t = then, b.ac
		}
	}
	d.at, d.put, d.last, d.held = at, put, last, held
	return true
}

// number translates one number from a place of a block on, with the zeros before
// it, or the end. It returns the place after that, 64 at the end, or more where
// it is none.
func (d *desk) number(t *translation, place uint) uint {
	const none = 65
	for zeros := 0; ; zeros++ {
		symbol, length := t.from.symbol(d.next())
		switch {
		case length == 0:
			return none
		case t.then != nil:
			if !d.copy(t.to.words[symbol], length, uint(symbol)) {
				return none
			}
			return 1
		case symbol == endOfBlock:
			d.copy(t.to.words[endOfBlock], length, 0)
			return 64
		case symbol == sixteenZeros && place+16 < 64:
			place += 16
			d.at += length
			continue
		}
		place += uint(symbol>>4) + 1
		if symbol == sixteenZeros || place > 64 {
			return none
		}
		for range zeros {
			d.copy(t.to.words[sixteenZeros], 0, 0)
		}
		if !d.copy(t.to.words[symbol], length, uint(symbol&15)) {
			return none
		}
		return place
	}
}

// next returns the next bits, at least 57 of them, from the highest.
func (d *desk) next() uint64 { return binary.BigEndian.Uint64(d.read[d.at>>3:]) << (d.at & 7) }

// copy passes over a code word of a length, and writes another instead of it
// with the same number after it, of size bits. It reports whether there is
// another.
func (d *desk) copy(own word, length, size uint) bool {
	number := d.next() << length >> (64 - size) // by 64, it is nothing
	n := uint(own.n) + size
	d.write((uint64(own.bits)<<size|number)<<(64-n), n)
	d.at += length + size
	return own.n > 0
}

// write writes the n highest of bits, 32 at most; the others are zero.
func (d *desk) write(bits uint64, n uint) {
	d.last |= bits >> d.held
	d.held += n
	binary.BigEndian.PutUint64(d.wrote[d.put:], d.last)
	d.put += int(d.held >> 3)
	d.last, d.held = d.last<<(d.held&^7), d.held&7
}
