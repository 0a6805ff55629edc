package library

import (
	"path/filepath"
	"runtime"
	"strings"
)

// login is a name and a password.
type login struct{ user, password string }

// netrcLogin finds the login for a host in the file that NETRC names, or in the home folder's .netrc. A file that is
// not there or cannot be read has none.
func netrcLogin(env func(string) string, host string) (login, bool) {
	paths := []string{env("NETRC")}
	if paths[0] == "" {
		home := env("HOME")
		if runtime.GOOS == "windows" {
			home = env("USERPROFILE")
		}
		if home == "" {
			return login{}, false
		}
		paths = []string{filepath.Join(home, ".netrc"), filepath.Join(home, "_netrc")}
	}
	for _, path := range paths {
		if text, err := readSmall(path); err == nil {
			return parseNetrc(text, host)
		}
	}
	return login{}, false
}

// parseNetrc finds the login for a host in the text of a netrc file; "default" is for every host that is not named
// before it.
func parseNetrc(text, host string) (login, bool) {
	var found login
	matches := false
	lines := strings.Split(text, "\n")
	for n := 0; n < len(lines); n++ {
		words := strings.Fields(lines[n])
		for i := 0; i < len(words); i++ {
			word, value := words[i], ""
			if strings.HasPrefix(word, "#") {
				break
			}
			if i+1 < len(words) {
				value = words[i+1]
			}
			switch word {
			case "machine", "default":
				if matches {
					return found, found.user != "" || found.password != ""
				}
				matches = word == "default" || strings.EqualFold(value, host)
			case "login":
				if matches {
					found.user = value
				}
			case "password":
				if matches {
					found.password = value
				}
			case "macdef": // a macro ends with an empty line
				for n+1 < len(lines) && strings.TrimSpace(lines[n+1]) != "" {
					n++
				}
				i = len(words)
				continue
			}
			if word != "default" {
				i++
			}
		}
	}
	return found, matches && (found.user != "" || found.password != "")
}
