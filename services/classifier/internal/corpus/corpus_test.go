package corpus

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/onrecord/onrecord/services/classifier/corpus"
)

func files(seeds, templates string) fstest.MapFS {
	return fstest.MapFS{
		"seeds/guard.txt":     {Data: []byte(seeds)},
		"templates/phone.txt": {Data: []byte(templates)},
		"slots/who.txt":       {Data: []byte("a man\na woman\n# nobody\nsomeone\n")},
	}
}

func TestRead(t *testing.T) {
	c, err := Read(files(`# a comment
kind=assault channel=in_person target=named_person serious weapon basis=racist,sex also=public_online trap=x lang=cy voice=other	hit me\nand left
kind=abuse channel=phone target=unknown split=heldout	swore
kind=abuse channel=unknown target=unknown split=gauge	shouted
`, "kind=abuse channel=phone target=named_person	{who} swore at me\n"))
	if err != nil {
		t.Fatal(err)
	}
	e := c.Examples[0]
	if e.Text != "hit me\nand left" || e.Also != "public_online" || !e.Serious || !e.Weapon || len(e.Basis) != 2 || e.Trap != "x" || e.Lang != "cy" || e.Voice != "other" || e.Split != Learn || e.Made {
		t.Errorf("example=%+v", e)
	}
	if held := c.Of(HeldOut); len(held) != 1 || held[0].Voice != "guard" {
		t.Errorf("held out=%+v, want the second", held)
	}
	if unseen := Unseen([]Example{{Voice: "guard"}, {Voice: "unseen_guard"}}); len(unseen) != 1 || unseen[0].Voice != "unseen_guard" {
		t.Errorf("unseen=%+v, want the second", unseen)
	}
	if gauge := c.Of(Gauge); len(gauge) != 1 || gauge[0].Text != "shouted" {
		t.Errorf("gauge=%+v, want the third", gauge)
	}
	made := c.Examples[3:]
	if len(made) < 2 || len(made) > 3 {
		t.Fatalf("%d texts of a template with three fillers", len(made))
	}
	for _, m := range made {
		if !m.Made || m.Group != made[0].Group || strings.Contains(m.Text, "{") || strings.Contains(m.Text, "nobody") {
			t.Errorf("made=%+v", m)
		}
	}
	again, err := Read(files("kind=abuse channel=phone target=unknown	swore\n", ""))
	if err != nil || again.Hash == c.Hash {
		t.Errorf("another corpus has the hash %s, err=%v", again.Hash, err)
	}
}

func TestMistakesAreNamedWithFileAndLine(t *testing.T) {
	for line, want := range map[string]string{
		"kind=abuse channel=phone target=unknown swore":                                          "want labels, a tab and a text",
		"kind=murder channel=phone target=unknown\tx":                                            "kind=murder",
		"kind=abuse channel=not_applicable target=unknown\tx":                                    "abuse has a channel",
		"kind=exposure channel=phone target=unknown\tx":                                          "exposure has channel and target not_applicable",
		"kind=abuse channel=phone target=unknown also=phone\tx":                                  "also=phone",
		"kind=abuse channel=phone target=unknown basis=silly\tx":                                 `"silly" is no basis`,
		"kind=abuse channel=phone target=unknown split=other\tx":                                 "split=other",
		"kind=abuse channel=phone target=unknown colour=red\tx":                                  `"colour=red" is no label`,
		"kind=abuse channel=phone target=unknown\tx\nkind=abuse channel=phone target=unknown\tx": "the same text stands at",
	} {
		if _, err := Read(files(line, "")); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "seeds/guard.txt:") {
			t.Errorf("%q: err=%v, want %q", line, err, want)
		}
	}
	if _, err := Read(files("", "kind=abuse channel=phone target=unknown\t{whom} swore")); err == nil || !strings.Contains(err.Error(), "slot {whom}") {
		t.Errorf("err=%v, want the slot that has no fillers", err)
	}
	if _, err := Read(fstest.MapFS{}); err == nil {
		t.Error("an empty corpus is read")
	}
}

// The corpus holds enough seeds, in every language and of every trap.
func TestTheCorpus(t *testing.T) {
	c, err := Read(corpus.Files)
	if err != nil {
		t.Fatal(err)
	}
	seeds, traps, langs := 0, map[string]int{}, map[string]int{}
	for _, e := range c.Examples {
		if e.Made {
			continue
		}
		seeds++
		langs[e.Lang]++
		traps[e.Trap]++
	}
	if seeds < 600 {
		t.Errorf("%d seeds, want at least 600", seeds)
	}
	for _, lang := range []string{"en", "sco", "cy", "cy-en"} {
		if langs[lang] < 5 {
			t.Errorf("%d seeds in %s, want at least 5", langs[lang], lang)
		}
	}
	for trap, n := range traps {
		if n < 5 {
			t.Errorf("%d seeds of the trap %q, want at least 5", n, trap)
		}
	}
	if len(traps) < 12 {
		t.Errorf("%d traps, want those of the label rules", len(traps))
	}
}

func FuzzParse(f *testing.F) {
	f.Add("kind=abuse channel=phone target=unknown also=letter basis=age\ttext")
	f.Fuzz(func(t *testing.T, line string) {
		if e, err := parse(line); err == nil && (e.Text == "" || !e.Kind.Valid() || !e.Channel.Valid() || !e.Target.Valid()) {
			t.Errorf("%q is read as %+v", line, e)
		}
	})
}
