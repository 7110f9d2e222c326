package photo

import (
	"bytes"
	"encoding/binary"
	"runtime"
)

// desk is what transcoding works on, and needs no longer afterwards: a scan's
// bits as they are read, and as they are written.
type desk struct {
	codes [codesOfDesk]translation
	steps [codesOfDesk << lookAhead]step // of each of them

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
		d.codes[n].from = nil
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

// codesOfDesk are those of three components, DC and AC.
const codesOfDesk = 2 * 3

// order is in which codes the blocks of some MCUs come one after another, and
// then those of the next: after a step in a block it is ac of the block, or dc of
// the next one where the block ended. Both say where in the desk's steps they
// begin, of more blocks than are looked at before it is begun anew.
type order struct {
	blocks int    // of one MCU
	period uint64 // blocks after which it is begun anew
	dc, ac [16]uint64
	turn   [16]uint64 // what to change in ac of a block for dc of the next
}

// blocks returns those of one MCU of a picture. The second colour is mostly in
// the codes of the first, and then shares what was made for it.
func (d *desk) blocks(b *baseline, into [2][2]*huffman) (o order) {
	for i, c := range b.components {
		own, n := min(i, 1), uint64(2*i)
		if i == 2 && c.dc == b.components[1].dc && c.ac == b.components[1].ac {
			n = 2
		}
		d.prepare(n+1, b.codes[1][c.ac], into[1][own], nil)
		d.prepare(n, b.codes[0][c.dc], into[0][own], &d.codes[n+1])
		for range c.h * c.v {
			o.dc[o.blocks], o.ac[o.blocks] = n<<lookAhead, (n+1)<<lookAhead
			o.blocks++
		}
	}
	for n := o.blocks; n < len(o.dc); n++ {
		o.dc[n], o.ac[n] = o.dc[n-o.blocks], o.ac[n-o.blocks]
	}
	for n := range len(o.turn) - 1 {
		o.turn[n] = o.ac[n] ^ o.dc[n+1]
	}
	o.period = uint64(o.blocks * (looksAtOnce/o.blocks + 1))
	return o
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

// lookAhead is how many bits of a scan are looked up at once.
const lookAhead = 12

// looksAtOnce is how often that is done with what was read at once.
const looksAtOnce = 57 / lookAhead

// translation is from one code into another.
type translation struct {
	from, to *huffman
	then     *translation // after the first number; nil: it goes on
	of       []byte       // the specification of from
	ofThen   []byte
}

// step is what the next bits of a scan begin with: as many whole numbers as are
// among them, with the zeros before each, and perhaps the end of the block. From
// the lowest bit on it holds how many places of the block the numbers fill, how
// many bits to pass over, how many to write (8 bits each, so that steps can be
// added up), from the 32nd on those bits, and in the highest whether the block
// ends. Where a number is not whole, or sixteen zeros stand first, the places are
// a whole block.
type step uint64

const (
	mostWritten = 14 // bits, so that as many as are looked at once are written at once
	wholeBlock  = 64
)

func newStep(bits uint64, written, read, places uint) step {
	return step(bits<<32 | uint64(written)<<16 | uint64(read)<<8 | uint64(places))
}

const endsBlock = step(1 << 63)

// prepare makes the nth translation one from a code to another, unless it is
// that already. then is what comes after the first number, nil for the same
// again.
func (d *desk) prepare(n uint64, from, to *huffman, then *translation) {
	t := &d.codes[n]
	known := t.to == to && bytes.Equal(t.of, from.spec) && t.then == then && (then == nil || bytes.Equal(t.ofThen, then.of))
	t.from, t.to, t.then = from, to, then
	if known {
		return
	}
	t.of = append(t.of[:0], from.spec...)
	if then != nil {
		t.ofThen = append(t.ofThen[:0], then.of...)
	}
	t.fill(d.steps[n<<lookAhead:][:1<<lookAhead], 0, 0, 0, 0)
}

// fill sets the steps of all bits that begin as some did: those were read, so
// many were written for them, and they fill so many places.
func (t *translation) fill(steps []step, bits uint64, written, read, places uint) {
	s := newStep(bits, written, read, places)
	if read == 0 {
		s = wholeBlock
	}
	for n := range steps {
		steps[n] = s
	}
	next := t
	if t.then != nil {
		next = t.then
	}
	for length, code, place := uint(1), uint64(0), 0; read+length <= lookAhead; length++ {
		for range t.from.spec[length] {
			symbol := t.from.symbols[place]
			own, size, filled := t.to.words[symbol], uint(symbol&15), places+1+uint(symbol>>4)
			first := int(code) << (lookAhead - read - length)
			each := 1 << max(int(lookAhead-read-length)-int(size), 0)
			code, place = code+1, place+1
			switch out := written + uint(own.n) + size; {
			case own.n == 0, out > mostWritten, read+length+size > lookAhead:
			case t.from.class == 1 && symbol == sixteenZeros:
			case t.from.class == 1 && symbol == endOfBlock:
				for n := range each {
					steps[first+n] = newStep(bits<<own.n|uint64(own.bits), out, read+length, places) | endsBlock
				}
			case filled >= wholeBlock:
			default:
				for number := range uint64(1) << size {
					next.fill(steps[first+int(number)*each:][:each], (bits<<own.n|uint64(own.bits))<<size|number, out, read+length+size, filled)
				}
			}
		}
		code <<= 1
	}
}

// translate reads so many MCUs of an interval and writes them in other codes. It
// reports whether the interval holds them and no more, and they are not more
// than is kept.
//
// Where a block ends nobody can foresee, and a processor that guesses wrong has
// to begin again. So nothing branches there: each step says by a bit whether the
// next is looked up in the codes of the same block or of the one after it. What
// is rare, a block that is full without an end, or a number longer than what is
// looked up, is left to number.
func (d *desk) translate(o *order, mcus int) bool {
	var at, ahead, put, held, place uint // the highest bits of next, ahead of them, are those before the byte at
	var next, last uint64
	t, block, end := o.dc[0], uint64(0), uint(len(d.read)-mostOfBlock)
	for left := mcus * o.blocks; left > 0; {
		if len(d.wrote)-int(put) < mostOfBlock {
			d.wrote = append(d.wrote, make([]byte, len(d.wrote)+1<<15)...)
		}
		next |= binary.BigEndian.Uint64(d.read[at:]) >> (ahead & 63)
		at, ahead = at+(63-ahead)>>3, ahead|56
		began, sum, bits := block, uint64(place), uint64(0)
		looks := min(looksAtOnce, left)
		for ; looks > 0; looks-- {
			s := uint64(d.steps[t|next>>(64-lookAhead)])
			then := sum + s&0xffffff
			if then&0xff >= wholeBlock {
				break
			}
			ended := uint64(int64(s) >> 63)
			t = o.ac[block&15] ^ o.turn[block&15]&ended
			block -= ended
			sum = then &^ (ended & 0xff)
			next <<= s >> 8 & 63
			bits = bits<<(s>>16&63) | s>>32&(1<<mostWritten-1)
		}
		written := uint(sum >> 16)
		place, ahead = uint(sum&0xff), ahead-uint(sum>>8&0xff)
		last |= bits << (64 - written) >> held
		held += written
		binary.BigEndian.PutUint64(d.wrote[put:], last)
		put += held >> 3
		last, held = last<<(held&56), held&7
		if looks > 0 {
			d.at, d.put, d.last, d.held = at*8-ahead, int(put), last, held
			place = d.number(&d.codes[t>>lookAhead], place)
			put, last, held = uint(d.put), d.last, d.held
			at, ahead = d.at>>3+1, 8-d.at&7
			next = uint64(d.read[at-1]) << (64 - ahead)
			switch t = o.ac[block&15]; {
			case place > wholeBlock:
				return false
			case place == wholeBlock:
				block++
				t, place = o.dc[block&15], 0
			}
		}
		left -= int(block - began)
		if block >= o.period {
			block -= o.period
		}
		if at > end+8 || put > maxStored {
			return false
		}
	}
	d.at, d.put, d.last, d.held = at*8-ahead, int(put), last, held
	return d.left() >= 0 && d.left() < 8
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
