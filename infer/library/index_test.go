package library

import (
	"net/url"
	"strings"
	"testing"
)

func mustURL(t testing.TB, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestParseIndex(t *testing.T) {
	const base = "https://index.example/simple/onnxruntime/"
	cases := []struct {
		name, kind, body string
		want             []string // name, address, hash
		fails            string
	}{
		{name: "JSON", kind: typeJSON,
			body: `{"meta":{"api-version":"1.1"},"name":"onnxruntime","files":[
				{"filename":"a.whl","url":"https://files.example/a.whl","hashes":{"sha256":"AB"},"size":3,"yanked":false},
				{"filename":"b.whl","url":"../../packages/b.whl","hashes":{}}]}`,
			want: []string{"a.whl https://files.example/a.whl ab", "b.whl https://index.example/packages/b.whl "}},
		{name: "JSON by a general type", kind: "application/json; charset=utf-8", body: `{"meta":{"api-version":"1.0"},"files":[]}`},
		{name: "a newer JSON", kind: typeJSON, body: `{"meta":{"api-version":"2.0"},"files":[]}`, fails: `found "2.0"`},
		{name: "no JSON", kind: typeJSON, body: `<html>`, fails: "wanted a list of files as JSON"},
		{name: "another type", kind: "image/png", body: "", fails: `found "image/png"`},
		{name: "HTML", kind: "text/html; charset=UTF-8",
			body: `<!DOCTYPE html><html><head><title>Links</title></head><body>
				<!-- <a href="hidden.whl">no</a> -->
				<A data-requires-python="&gt;=3.10" HREF = 'https://files.example/a%2Bcpu.whl#sha256=AB&amp;x=1' >a</a><br/>
				<a
				   href="../../packages/b.whl">b</a> <a name=here>c</a> <a href=c.whl>`,
			want: []string{"a+cpu.whl https://files.example/a%2Bcpu.whl ab", "b.whl https://index.example/packages/b.whl ",
				"c.whl https://index.example/simple/onnxruntime/c.whl "}},
		{name: "HTML with a base", kind: typeHTML, body: `<base href="https://other.example/x/"><a href="a.whl">a</a>`,
			want: []string{"a.whl https://other.example/x/a.whl "}},
		{name: "HTML that ends in a tag", kind: typeHTML, body: `<a href="a.whl`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			links, err := parseIndex(c.kind, []byte(c.body), mustURL(t, base))
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Fatalf("found the error %v, wanted one with %q", err, c.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var found []string
			for _, l := range links {
				found = append(found, l.name+" "+l.url.String()+" "+l.sha256)
			}
			if strings.Join(found, "\n") != strings.Join(c.want, "\n") {
				t.Errorf("found\n%s\nwanted\n%s", strings.Join(found, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

func FuzzParseIndex(f *testing.F) {
	f.Add(typeJSON, `{"meta":{"api-version":"1.1"},"files":[{"filename":"a.whl","url":"../a.whl","hashes":{"sha256":"ab"}}]}`)
	f.Add("text/html", `<base href="/x/"><!-- --><a class=x href='a.whl#sha256=ab&amp;b'>a</a>`)
	f.Add("", `<a href="`)
	f.Fuzz(func(t *testing.T, kind, body string) {
		links, err := parseIndex(kind, []byte(body), mustURL(t, "https://index.example/simple/x/"))
		if err != nil && links != nil {
			t.Error("links with an error")
		}
		for _, l := range links {
			if l.url == nil {
				t.Errorf("%q has no address", l.name)
			}
		}
	})
}
