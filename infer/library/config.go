package library

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

const (
	defaultIndex = "https://pypi.org/simple"

	// maxConfig bounds a configuration file of pip, and a netrc file, in bytes.
	maxConfig = 1 << 20
)

// config is what pip's configuration says of the index in use.
type config struct {
	indexes   []string // URLs, credentials included, in the order of search
	findLinks []string // folders that hold wheels
	trusted   []string // hosts, with or without port, whose certificate is not checked
	cert      string   // file of certificate authorities; "" for the system's
	proxy     string   // "" for that of the environment
}

// loadConfig reads pip's configuration as "pip install" does: the sections [global] and then [install] of the files, each
// file over those before, and over them the variables PIP_*. An empty value counts as none.
func loadConfig(files []string, env func(string) string) (config, error) {
	sections := map[string]map[string]string{}
	for _, path := range files {
		text, err := readSmall(path)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return config{}, fmt.Errorf("pip's configuration: %w", err)
		}
		parseConfig(text, sections)
	}
	values := map[string]string{}
	for _, name := range []string{"global", "install"} {
		for key, value := range sections[name] {
			if value != "" {
				values[key] = value
			}
		}
	}
	for _, key := range []string{"index-url", "extra-index-url", "no-index", "find-links", "trusted-host", "cert", "proxy"} {
		if v := env("PIP_" + strings.ToUpper(strings.ReplaceAll(key, "-", "_"))); v != "" {
			values[key] = v
		}
	}
	return newConfig(values, env), nil
}

// newConfig makes sense of pip's options.
func newConfig(values map[string]string, env func(string) string) config {
	c := config{trusted: strings.Fields(values["trusted-host"]), proxy: values["proxy"]}
	for _, cert := range []string{values["cert"], env("REQUESTS_CA_BUNDLE"), env("CURL_CA_BUNDLE")} {
		if c.cert == "" {
			c.cert = expandHome(cert, env)
		}
	}
	for _, link := range strings.Fields(values["find-links"]) {
		if path, ok := strings.CutPrefix(link, "file://"); ok || !strings.Contains(link, "://") {
			c.findLinks = append(c.findLinks, expandHome(path, env))
		}
	}
	if isTrue(values["no-index"]) {
		return c
	}
	index := strings.TrimSpace(values["index-url"])
	if index == "" {
		index = defaultIndex
	}
	c.indexes = append([]string{index}, strings.Fields(values["extra-index-url"])...)
	return c
}

// expandHome puts the home folder in the place of a leading ~.
func expandHome(path string, env func(string) string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		return filepath.Join(env("HOME"), rest)
	}
	return path
}

// isTrue reads a truth value as pip does.
func isTrue(text string) bool {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "1", "true", "yes", "on", "y", "t":
		return true
	}
	return false
}

// configFiles lists the places of pip's configuration, least important first: for the machine, the user, the virtual
// environment, and the file that PIP_CONFIG_FILE names. That being the null device, none is read.
func configFiles(env func(string) string) []string {
	named := env("PIP_CONFIG_FILE")
	if named == os.DevNull {
		return nil
	}
	var files []string
	add := func(base string, names ...string) {
		if base != "" { // else the path would be one below the working folder
			files = append(files, filepath.Join(append([]string{base}, names...)...))
		}
	}
	home, name := env("HOME"), "pip.conf"
	switch runtime.GOOS {
	case "windows":
		name = "pip.ini"
		add(env("ProgramData"), "pip", name)
		add(env("USERPROFILE"), "pip", name)
		add(env("APPDATA"), "pip", name)
	case "darwin":
		add("/Library/Application Support/pip/pip.conf")
		add(home, ".pip", name)
		add(home, ".config", "pip", name)
		add(home, "Library", "Application Support", "pip", name)
	default:
		machine, user := env("XDG_CONFIG_DIRS"), env("XDG_CONFIG_HOME")
		if machine == "" {
			machine = "/etc/xdg"
		}
		for _, dir := range filepath.SplitList(machine) {
			add(dir, "pip", name)
		}
		add("/etc/pip.conf")
		add(home, ".pip", name)
		if user == "" && home != "" {
			user = filepath.Join(home, ".config")
		}
		add(user, "pip", name)
	}
	add(env("VIRTUAL_ENV"), name)
	add(named)
	return files
}

// parseConfig adds the options in a text, in the format of Python's configparser, to those of its sections. What it
// cannot read it passes over.
func parseConfig(text string, sections map[string]map[string]string) {
	var section map[string]string
	key := ""
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimRight(line, " \t\r")
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "" || trimmed[0] == '#' || trimmed[0] == ';':
		case line[0] == ' ' || line[0] == '\t': // goes on with the value
			if key != "" {
				section[key] = strings.TrimSpace(section[key] + "\n" + trimmed)
			}
		case trimmed[0] == '[':
			name, _, _ := strings.Cut(trimmed[1:], "]")
			if sections[name] == nil {
				sections[name] = map[string]string{}
			}
			section, key = sections[name], ""
		default:
			key = ""
			if at := strings.IndexAny(trimmed, "=:"); at > 0 && section != nil {
				key = optionName(trimmed[:at])
				section[key] = strings.TrimSpace(trimmed[at+1:])
			}
		}
	}
}

// optionName normalizes a key as pip does: Index_URL and --index-url are index-url.
func optionName(key string) string {
	return strings.TrimPrefix(strings.ReplaceAll(strings.ToLower(strings.TrimSpace(key)), "_", "-"), "--")
}

// readSmall reads a configuration file of bounded size.
func readSmall(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.Size() > maxConfig {
		return "", fmt.Errorf("%s has %d bytes, over the limit of %d", path, info.Size(), maxConfig)
	}
	text, err := os.ReadFile(path)
	return string(text), err
}
