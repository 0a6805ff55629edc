package library

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

const (
	// maxUnpacked bounds what is unpacked of a wheel, in bytes; CUDA's has 315 MB of libraries.
	maxUnpacked = 2 << 30

	// maxEntries bounds the files in a wheel.
	maxEntries = 20_000

	// manifestName is the file in an installation's folder that describes it.
	manifestName = "manifest.json"

	// maxManifest bounds that file, in bytes.
	maxManifest = 1 << 20
)

// manifest describes an installation.
type manifest struct {
	Flavour     Flavour        `json:"flavour"`
	Version     string         `json:"version"`
	Platform    string         `json:"platform"`
	Wheel       string         `json:"wheel"`
	WheelSHA256 string         `json:"wheel_sha256"`
	Library     string         `json:"library"`           // ONNX Runtime's file name
	Preload     []string       `json:"preload,omitempty"` // file names, in the order in which to load them
	Files       []manifestFile `json:"files"`
}

// manifestFile is one file of an installation.
type manifestFile struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// unpack makes a folder of a wheel's libraries and licences, with a manifest. Nothing is written outside the folder, and
// no more than maxUnpacked bytes. Files of the same content, which wheels have in the place of links, become one by
// hard links.
func unpack(ctx context.Context, wheel, dir string, p *pin) error {
	z, err := zip.OpenReader(wheel)
	if err != nil {
		return fmt.Errorf("%s: %w", p.Wheel, err)
	}
	defer z.Close()
	wanted, err := chooseEntries(z.File)
	if err != nil {
		return fmt.Errorf("%s: %w", p.Wheel, err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	m := manifest{Flavour: p.Flavour, Version: p.Version, Platform: p.platform(), Wheel: p.Wheel, WheelSHA256: p.SHA256}
	left, same := int64(maxUnpacked), map[string]string{}
	for _, entry := range wanted {
		if err := ctx.Err(); err != nil {
			return err
		}
		file, err := extract(entry, dir, left)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", p.Wheel, entry.Name, err)
		}
		left -= file.Size
		if first, ok := same[file.SHA256]; ok {
			linkOver(filepath.Join(dir, first), filepath.Join(dir, file.Name))
		} else {
			same[file.SHA256] = file.Name
		}
		m.Files = append(m.Files, file)
	}
	found, err := libraryIn(dir, p.OS)
	if err != nil {
		return fmt.Errorf("%s: %w", p.Wheel, err)
	}
	m.Library = filepath.Base(found)
	if m.Preload, err = preloadOrder(dir, m.Library); err != nil {
		return err
	}
	return writeManifest(dir, &m)
}

// chooseEntries picks the libraries and licences of a wheel, sorted by file name. A wheel with a path that leads outside
// it, or two files that would get the same name, is refused.
func chooseEntries(entries []*zip.File) ([]*zip.File, error) {
	if len(entries) > maxEntries {
		return nil, fmt.Errorf("%d files, over the limit of %d", len(entries), maxEntries)
	}
	var wanted []*zip.File
	names := map[string]string{}
	for _, e := range entries {
		if !fs.ValidPath(strings.TrimSuffix(e.Name, "/")) || strings.ContainsAny(e.Name, `\:`) {
			return nil, fmt.Errorf("the path %q leads outside the package", e.Name)
		}
		folder, name := path.Split(e.Name)
		top, below, _ := strings.Cut(folder, "/")
		library := below == "capi/" && isLibrary(name) && !isPython(name)
		licence := below == "" && slices.Contains([]string{"LICENSE", "ThirdPartyNotices.txt", "Privacy.md"}, name)
		if strings.HasSuffix(top, ".dist-info") || !library && !licence {
			continue
		}
		if !e.Mode().IsRegular() {
			return nil, fmt.Errorf("%q is no regular file", e.Name)
		}
		if other, ok := names[strings.ToLower(name)]; ok {
			return nil, fmt.Errorf("%q and %q have the same name", other, e.Name)
		}
		names[strings.ToLower(name)] = e.Name
		wanted = append(wanted, e)
	}
	slices.SortFunc(wanted, func(a, b *zip.File) int { return strings.Compare(path.Base(a.Name), path.Base(b.Name)) })
	return wanted, nil
}

// extract writes one file of a wheel into a folder, of at most limit bytes.
func extract(entry *zip.File, dir string, limit int64) (manifestFile, error) {
	file := manifestFile{Name: path.Base(entry.Name)}
	from, err := entry.Open()
	if err != nil {
		return file, err
	}
	defer from.Close()
	to, err := os.OpenFile(filepath.Join(dir, file.Name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return file, err
	}
	defer to.Close()
	hash := sha256.New()
	file.Size, err = io.Copy(io.MultiWriter(to, hash), io.LimitReader(from, limit+1))
	if err != nil {
		return file, err
	}
	if file.Size > limit {
		return file, fmt.Errorf("the package unpacks to more than %d bytes", int64(maxUnpacked))
	}
	file.SHA256 = hex.EncodeToString(hash.Sum(nil))
	return file, to.Close()
}

// linkOver replaces a file by a hard link to another of the same content, where the file system has such links.
func linkOver(first, second string) {
	aside := second + ".link"
	if os.Link(first, aside) == nil && os.Rename(aside, second) != nil {
		os.Remove(aside)
	}
}

func writeManifest(dir string, m *manifest) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, manifestName), append(text, '\n'), 0o644)
}

// readManifest reads the description of an installation; the error is os.ErrNotExist where there is none.
func readManifest(dir string) (*manifest, error) {
	f, err := os.Open(filepath.Join(dir, manifestName))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var m manifest
	if err := json.NewDecoder(io.LimitReader(f, maxManifest)).Decode(&m); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, manifestName), err)
	}
	names := append([]string{m.Library}, m.Preload...)
	for _, file := range m.Files {
		names = append(names, file.Name)
	}
	for _, name := range names {
		if name != filepath.Base(name) || !filepath.IsLocal(name) {
			return nil, fmt.Errorf("%s: wanted file names, found %q", filepath.Join(dir, manifestName), name)
		}
	}
	return &m, nil
}

// openInstalled describes an installation in the cache. It checks that the files are there, with their sizes.
func openInstalled(dir string) (Library, error) {
	m, err := readManifest(dir)
	if err != nil {
		return Library{}, err
	}
	for _, file := range m.Files {
		info, err := os.Stat(filepath.Join(dir, file.Name))
		if err != nil {
			return Library{}, fmt.Errorf("%s is not whole: %s is missing", dir, file.Name)
		}
		if info.Size() != file.Size {
			return Library{}, fmt.Errorf("%s is not whole: %s has %d bytes, wanted %d", dir, file.Name, info.Size(), file.Size)
		}
	}
	return Library{Flavour: m.Flavour, Version: m.Version, Path: filepath.Join(dir, m.Library), Dir: dir,
		Preload: inDir(dir, m.Preload), From: FromCache}, nil
}
