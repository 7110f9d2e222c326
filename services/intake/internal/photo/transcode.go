package photo

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/jpeg"
	"slices"
)

// transcode writes a JPEG anew without decoding its picture: each symbol of it
// is read, held against what a baseline picture may hold (ITU-T T.81, annexes F
// and H), and written in the code of image/jpeg. Nothing else of raw is left,
// and the pixels are the same. ok is false for whatever is not plainly a
// complete baseline picture as the page's script and most cameras write them:
// that has to be decoded.
func transcode(raw []byte) (out []byte, width, height int, ok bool) {
	b, scan, ok := readBaseline(raw)
	if !ok {
		return nil, 0, 0, false
	}
	used := <-desks
	defer used.leave()
	out, ok = b.header(min(len(raw), maxStored)), true
	blocks := used.blocks(&b, ownCodes)
	mcus := b.mcus()
	per := b.restart
	if per == 0 {
		per = mcus
	}
	for done, n := 0, byte(0); ok && done < mcus; done, n = done+per, n+1 {
		if scan = used.cutInterval(scan); scan == nil {
			return nil, 0, 0, false
		}
		if done > 0 {
			out = append(out, 0xff, restart0+(n-1)%8)
		}
		ok = used.translate(&blocks, min(per, mcus-done))
		out = appendStuffed(out, used.written())
		var marker byte
		marker, scan = nextMarker(scan)
		if last := done+per >= mcus; last && marker != endOfImage || !last && marker != restart0+n%8 {
			ok = false
		}
		ok = ok && len(out) <= maxStored
	}
	return append(out, 0xff, endOfImage), b.width, b.height, ok
}

// Markers of T.81, table B.1.
const (
	baselineFrame = 0xc0
	huffmanTables = 0xc4
	restart0      = 0xd0 // to 0xd7
	startOfImage  = 0xd8
	endOfImage    = 0xd9
	startOfScan   = 0xda
	quantTables   = 0xdb
	restartEvery  = 0xdd
	app0          = 0xe0 // to app15
	appAdobe      = 0xee // says that colours mean something else
	app15         = 0xef
	comment       = 0xfe
)

// baseline is the head of a picture.
type baseline struct {
	width, height int
	components    []component
	quant         [4][]byte      // 64 numbers each
	codes         [2][2]*huffman // DC and AC
	restart       int            // MCUs between restarts; 0: none
}

// component is the brightness or one of the colours of a picture.
type component struct {
	id, h, v, quant byte
	dc, ac          byte // which codes its scan uses
}

// mcus returns how many minimum coded units the picture has.
func (b *baseline) mcus() int {
	w, h := 8*int(b.components[0].h), 8*int(b.components[0].v)
	return ((b.width + w - 1) / w) * ((b.height + h - 1) / h)
}

// readBaseline reads the head of a picture and returns what follows it.
func readBaseline(raw []byte) (b baseline, scan []byte, ok bool) {
	if len(raw) < 2 || raw[0] != 0xff || raw[1] != startOfImage {
		return b, nil, false
	}
	for rest := raw[2:]; ; {
		var marker byte
		if marker, rest = nextMarker(rest); marker == 0 || len(rest) < 2 {
			return b, nil, false
		}
		size := int(binary.BigEndian.Uint16(rest))
		if size < 2 || size > len(rest) {
			return b, nil, false
		}
		body := rest[2:size]
		rest = rest[size:]
		switch {
		case marker == startOfScan:
			return b, rest, b.scan(body)
		case marker == comment, marker >= app0 && marker <= app15 && marker != appAdobe:
			ok = true // not taken over
		case marker == quantTables:
			ok = b.quants(body)
		case marker == huffmanTables:
			ok = b.huffmans(body)
		case marker == baselineFrame:
			ok = b.frame(body)
		case marker == restartEvery:
			ok = len(body) == 2
			if ok {
				b.restart = int(binary.BigEndian.Uint16(body))
			}
		default:
			ok = false
		}
		if !ok {
			return b, nil, false
		}
	}
}

func (b *baseline) quants(body []byte) bool {
	for len(body) >= 65 {
		if body[0] > 3 || bytes.IndexByte(body[1:65], 0) >= 0 { // more than 8 bits, or dividing by nothing
			return false
		}
		b.quant[body[0]], body = body[1:65], body[65:]
	}
	return len(body) == 0
}

func (b *baseline) huffmans(body []byte) bool {
	for len(body) > 0 {
		h, rest := newHuffman(body)
		if h == nil {
			return false
		}
		b.codes[h.class][h.id], body = h, rest
	}
	return true
}

// frame reads one picture in grey, or in brightness and two colours of at most
// half its width and height.
func (b *baseline) frame(body []byte) bool {
	if b.components != nil || len(body) < 6 || body[0] != 8 || len(body) != 6+3*int(body[5]) || body[5] != 1 && body[5] != 3 {
		return false
	}
	b.height, b.width = int(binary.BigEndian.Uint16(body[1:])), int(binary.BigEndian.Uint16(body[3:]))
	for c := body[6:]; len(c) > 0; c = c[3:] {
		is := component{id: c[0], h: c[1] >> 4, v: c[1] & 15, quant: c[2]}
		known := func(other component) bool { return other.id == is.id }
		if !samples(is.h) || !samples(is.v) || is.quant > 3 || slices.ContainsFunc(b.components, known) {
			return false
		}
		b.components = append(b.components, is)
	}
	first := &b.components[0]
	if len(b.components) == 1 {
		first.h, first.v = 1, 1 // whatever it says: its blocks stand one by one
		return b.width > 0 && b.height > 0
	}
	second, third := b.components[1], b.components[2]
	inColours := [3]byte{first.id, second.id, third.id} != [3]byte{'R', 'G', 'B'}
	once := second.h == 1 && second.v == 1 && third.h == 1 && third.v == 1
	return b.width > 0 && b.height > 0 && inColours && once && (first.h == 1 || first.h == 2) && (first.v == 1 || first.v == 2)
}

// samples reports whether so many blocks of a component in one MCU, side by side
// or one below the other, are what image/jpeg reads.
func samples(n byte) bool { return n == 1 || n == 2 || n == 4 }

// scan reads the head of a scan of the whole picture.
func (b *baseline) scan(body []byte) bool {
	n := len(b.components)
	if n == 0 || len(body) != 4+2*n || int(body[0]) != n || !bytes.Equal(body[1+2*n:], []byte{0, 63, 0}) {
		return false
	}
	for i := range b.components {
		c := &b.components[i]
		id, tables := body[1+2*i], body[2+2*i]
		c.dc, c.ac = tables>>4, tables&15
		if id != c.id || c.dc > 1 || c.ac > 1 || b.codes[0][c.dc] == nil || b.codes[1][c.ac] == nil || b.quant[c.quant] == nil {
			return false
		}
	}
	return true
}

// header returns the head of the picture as it is written.
func (b *baseline) header(room int) []byte {
	out := memory(room/8*9 + 1024)
	segment := func(marker byte, bodies ...[]byte) {
		body := bytes.Join(bodies, nil)
		out = append(binary.BigEndian.AppendUint16(append(out, 0xff, marker), uint16(len(body)+2)), body...)
	}
	out = append(out, 0xff, startOfImage)
	segment(app0, []byte("JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"))
	frame := binary.BigEndian.AppendUint16([]byte{8}, uint16(b.height))
	frame = append(binary.BigEndian.AppendUint16(frame, uint16(b.width)), byte(len(b.components)))
	scan := []byte{byte(len(b.components))}
	for i, c := range b.components {
		id, of := byte(i+1), byte(min(i, 1))
		segment(quantTables, []byte{byte(i)}, b.quant[c.quant])
		frame = append(frame, id, c.h<<4|c.v, byte(i))
		scan = append(scan, id, of<<4|of)
	}
	segment(baselineFrame, frame)
	segment(huffmanTables, ownCodes[0][0].spec, ownCodes[1][0].spec, ownCodes[0][1].spec, ownCodes[1][1].spec)
	if b.restart > 0 {
		segment(restartEvery, binary.BigEndian.AppendUint16(nil, uint16(b.restart)))
	}
	segment(startOfScan, append(scan, 0, 63, 0))
	return out
}

// nextMarker returns the marker that rest begins with and what follows it, or 0
// where there is none.
func nextMarker(rest []byte) (marker byte, after []byte) {
	if len(rest) < 2 || rest[0] != 0xff {
		return 0, nil
	}
	for len(rest) > 1 && rest[1] == 0xff { // filling
		rest = rest[1:]
	}
	if len(rest) < 2 {
		return 0, nil
	}
	return rest[1], rest[2:]
}

// appendStuffed appends bits so that none of them is a marker.
func appendStuffed(out, coded []byte) []byte {
	for {
		n := bytes.IndexByte(coded, 0xff)
		if n < 0 {
			return append(out, coded...)
		}
		out, coded = append(append(out, coded[:n+1]...), 0), coded[n+1:]
	}
}

// huffman is a code: how to read it, and how to write it.
type huffman struct {
	class, id byte
	spec      []byte            // as it stands in a file
	short     [1 << peek]uint16 // by the next bits: length<<8 | symbol; 0: a longer code
	limit     [17]uint32        // by length: the first 16 bits that are of a longer code
	first     [17]int32         // by length: what to add to a code for its place among the symbols
	symbols   []byte
	words     [256]word
}

// word is the code word of a symbol, of 0 bits where it has none.
type word struct {
	bits uint16
	n    uint8
}

const peek = 10 // bits that are looked up at once

// newHuffman reads a code that body begins with, and returns what follows it;
// or nil where there is none that a baseline picture may have.
func newHuffman(body []byte) (h *huffman, rest []byte) {
	if len(body) < 17 || body[0]>>4 > 1 || body[0]&15 > 1 {
		return nil, nil
	}
	total := 0
	for _, n := range body[1:17] {
		total += int(n)
	}
	if total == 0 || total > 256 || len(body) < 17+total {
		return nil, nil
	}
	h = &huffman{class: body[0] >> 4, id: body[0] & 15, spec: body[:17+total], symbols: body[17 : 17+total]}
	code, place := uint32(0), 0
	for length := 1; length <= 16; length++ {
		count := int(body[length])
		h.first[length] = int32(place) - int32(code)
		for range count {
			symbol := h.symbols[place]
			if !h.allows(symbol) || h.words[symbol].n > 0 || code>>length > 0 {
				return nil, nil
			}
			h.words[symbol] = word{uint16(code), uint8(length)}
			if length <= peek {
				from := code << (peek - length)
				for n := range uint32(1) << (peek - length) {
					h.short[from+n] = uint16(length)<<8 | uint16(symbol)
				}
			}
			code, place = code+1, place+1
		}
		h.limit[length] = code << (16 - length)
		code <<= 1
	}
	return h, body[17+total:]
}

// allows reports whether a symbol can stand for something in a baseline
// picture: a size, or a run of zeros and a size.
func (h *huffman) allows(symbol byte) bool {
	if h.class == 0 {
		return symbol <= 11
	}
	return symbol&15 >= 1 && symbol&15 <= 10 || symbol == endOfBlock || symbol == sixteenZeros
}

// Symbols of AC codes that stand for no number.
const (
	endOfBlock   = 0x00
	sixteenZeros = 0xf0
)

// symbol returns the one whose code word the highest bits begin with, and the
// word's length, which is 0 where they begin with none. None is longer than 16
// bits.
func (h *huffman) symbol(bits uint64) (symbol byte, length uint) {
	if e := h.short[bits>>(64-peek)]; e != 0 {
		return byte(e), uint(e >> 8)
	}
	next := uint32(bits >> 48)
	for length := uint(peek + 1); length <= 16; length++ {
		if next < h.limit[length] {
			return h.symbols[int32(next>>(16-length))+h.first[length]], length
		}
	}
	return 0, 0
}

// ownCodes are the codes that pictures are written with: those of image/jpeg,
// which it takes from annex K.
var ownCodes = func() [2][2]*huffman {
	var sample bytes.Buffer
	if err := jpeg.Encode(&sample, image.NewRGBA(image.Rect(0, 0, 8, 8)), nil); err != nil {
		panic(err) // a buffer takes everything
	}
	b, _, _ := readBaseline(sample.Bytes())
	return b.codes
}()
