package expr

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"github.com/leat-project/leat/diag"
)

// TestSyntax makes expressions and near misses of them, and compares with python3 which of them are syntax errors.
func TestSyntax(t *testing.T) {
	path, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("SKIPPED: python3 is not on this machine, so nothing was compared with it")
	}
	seed := max(*diffSeed, 1)
	t.Logf("seed %d: go test ./expr -run TestSyntax -seed %d -exprs %d", seed, seed, *diffCount)
	g := &exprGen{Rand: rand.New(rand.NewPCG(seed, 9))}
	var texts []string
	var in bytes.Buffer
	enc := json.NewEncoder(&in)
	for range *diffCount {
		text := g.mutate(g.expr(g.IntN(4)))
		if strings.Count(text, "'") > 2 && strings.Contains(text, "f'") {
			continue // leat reads quotes within the fields of an f-string as Python 3.12 does
		}
		texts = append(texts, text)
		if err := enc.Encode(text); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(path, "../reference/expr_parse.py")
	cmd.Stdin = &in
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(bytes.NewReader(out))
	good, bad, failures := 0, 0, 0
	for _, text := range texts {
		var want string
		if err := dec.Decode(&want); err != nil {
			t.Fatal(err)
		}
		problems := &diag.List{}
		e := ParsePython(source(text), problems)
		switch {
		case e != nil && want == "":
			good++
			if again := ParsePython(source(e.String()), &diag.List{}); again == nil || !sameTree(e, again) {
				t.Errorf("%q\n\tprinted as %s\n\tdoes not parse back to the same tree", text, e)
			}
		case e == nil && (want != "" || problems.Problems[0].Code == diag.CannotCompile):
			bad++
		default:
			if failures++; failures > 40 {
				return
			}
			if e == nil {
				t.Errorf("%q: %v, but Python takes it", text, problems.Problems[0])
			} else {
				t.Errorf("%q: parses to %s, but in Python: %s", text, e, want)
			}
		}
	}
	t.Logf("%d expressions and %d syntax errors agree", good, bad)
}

// mutate drops, doubles, swaps and inserts tokens.
func (g *exprGen) mutate(text string) string {
	l := lexer{src: source(text), limit: len(text)}
	var pieces []string
	at := 0
	for _, t := range l.lex() {
		pieces = append(pieces, text[at:t.end])
		at = t.end
	}
	if l.err != nil || len(pieces) < 2 {
		return text
	}
	for range g.IntN(3) {
		i := g.IntN(len(pieces))
		switch g.IntN(4) {
		case 0:
			pieces[i] = ""
		case 1:
			pieces[i] += pieces[i]
		case 2:
			k := g.IntN(len(pieces))
			pieces[i], pieces[k] = pieces[k], pieces[i]
		case 3:
			pieces[i] += pick(g, []string{" if ", " else ", " for ", " in ", " not ", " and ", " or ", " lambda ", " is ", "(", ")", "[", "]", "{", "}", ",", ":", ".", "=", "==", "*", "**", "-", "~",
				"1", "x", "1.5", "'s'", "b'y'", "None", " lambda: ", " not in ", " is not ", "@", ":=", ";", "!", "1_", "0x", "1e", "07", "1if", "\\", "#", "'", " yield ", " await ", "...", "->", "|", "<<", "//", "f''", " for x in ", "1.e5", "0_0", "00", "1__0", "x.y", " async "})
		}
	}
	return strings.Join(pieces, "")
}
