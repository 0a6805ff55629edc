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

// loadConfig reads pip's configuration as "pip install" does: files for the machine, the user and the virtual
// environment, the file that PIP_CONFIG_FILE names, and the variables PIP_*, each over those before.
func loadConfig(env func(string) string) (config, error) {
	values := map[string]string{}
	if env("PIP_CONFIG_FILE") != os.DevNull {
		for _, path := range configFiles(env) {
			text, err := readSmall(path)
			if os.IsNotExist(err) || path == "" {
				continue
			}
			if err != nil {
				return config{}, fmt.Errorf("pip's configuration: %w", err)
			}
			for key, value := range parseConfig(text) {
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

// configFiles lists the places of pip's configuration, least important first.
func configFiles(env func(string) string) []string {
	var files []string
	home := env("HOME")
	switch runtime.GOOS {
	case "windows":
		files = append(files, filepath.Join(env("ProgramData"), "pip", "pip.ini"),
			filepath.Join(env("USERPROFILE"), "pip", "pip.ini"), filepath.Join(env("APPDATA"), "pip", "pip.ini"))
	case "darwin":
		files = append(files, "/Library/Application Support/pip/pip.conf", filepath.Join(home, ".pip", "pip.conf"),
			filepath.Join(home, ".config", "pip", "pip.conf"), filepath.Join(home, "Library", "Application Support", "pip", "pip.conf"))
	default:
		dirs := env("XDG_CONFIG_DIRS")
		if dirs == "" {
			dirs = "/etc/xdg"
		}
		for _, dir := range filepath.SplitList(dirs) {
			files = append(files, filepath.Join(dir, "pip", "pip.conf"))
		}
		user := env("XDG_CONFIG_HOME")
		if user == "" {
			user = filepath.Join(home, ".config")
		}
		files = append(files, "/etc/pip.conf", filepath.Join(home, ".pip", "pip.conf"), filepath.Join(user, "pip", "pip.conf"))
	}
	if venv := env("VIRTUAL_ENV"); venv != "" {
		name := "pip.conf"
		if runtime.GOOS == "windows" {
			name = "pip.ini"
		}
		files = append(files, filepath.Join(venv, name))
	}
	if named := env("PIP_CONFIG_FILE"); named != "" {
		files = append(files, named)
	}
	return files
}

// parseConfig reads the options of pip's sections [global] and [install], the latter over the former, from text in the
// format of Python's configparser. What it cannot read it passes over.
func parseConfig(text string) map[string]string {
	sections := map[string]map[string]string{}
	var section map[string]string
	key := ""
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimRight(line, " \t\r")
		trimmed := strings.TrimSpace(line)
		if strings.HasPrefix(trimmed, "#") || strings.HasPrefix(trimmed, ";") {
			continue
		}
		if trimmed == "" {
			continue
		}
		if line[0] == ' ' || line[0] == '\t' { // goes on with the value
			if section != nil && key != "" {
				section[key] = strings.TrimSpace(section[key] + "\n" + trimmed)
			}
			continue
		}
		key = ""
		if name, ok := strings.CutPrefix(trimmed, "["); ok {
			name, _, _ = strings.Cut(name, "]")
			if sections[name] == nil {
				sections[name] = map[string]string{}
			}
			section = sections[name]
			continue
		}
		at := strings.IndexAny(trimmed, "=:")
		if section == nil || at < 0 {
			continue
		}
		key = optionName(trimmed[:at])
		section[key] = strings.TrimSpace(trimmed[at+1:])
	}
	values := map[string]string{}
	for _, name := range []string{"global", "install"} {
		for k, v := range sections[name] {
			if v != "" { // pip passes over empty values
				values[k] = v
			}
		}
	}
	return values
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
