package library

// pin is a wheel of the Python package index that holds a library for a platform.
type pin struct {
	Flavour  Flavour
	Version  string // of ONNX Runtime
	OS, Arch string // as Go names them
	Size     int64  // of the wheel, bytes
	Wheel    string // its file name
	SHA256   string // of the wheel, in hexadecimal
}

// pins are all wheels that leat installs; of those for one platform, which differ by the version of Python, the
// smallest. Made on 2026-11-23 from the index's JSON (PEP 691); "go test ./infer/library -run Pins -update" makes the table
// anew, and without -update compares it with the index.
//
// macOS on Intel has had no wheel since 1.23.2. QNN from version 2 on is a plugin without ONNX Runtime in it; 1.24.4 is
// the last that holds both.
var pins = []pin{
	{Flavour: "cpu", Version: "1.31.1", OS: "linux", Arch: "amd64", Size: 23753652,
		Wheel:  "onnxruntime-1.31.1-cp311-cp311-manylinux_2_28_x86_64.whl",
		SHA256: "5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f"},
	{Flavour: "cpu", Version: "1.31.1", OS: "linux", Arch: "arm64", Size: 21413526,
		Wheel:  "onnxruntime-1.31.1-cp311-cp311-manylinux_2_28_aarch64.whl",
		SHA256: "da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3"},
	{Flavour: "cpu", Version: "1.31.1", OS: "darwin", Arch: "arm64", Size: 20871676,
		Wheel:  "onnxruntime-1.31.1-cp311-cp311-macosx_14_0_arm64.whl",
		SHA256: "60b6b69bfe580eab576cacc5d132a0e9cf2a37fcfd18d46dd191042b1d1ed0d7"},
	{Flavour: "cpu", Version: "1.23.2", OS: "darwin", Arch: "amd64", Size: 19153079,
		Wheel:  "onnxruntime-1.23.2-cp310-cp310-macosx_13_0_x86_64.whl",
		SHA256: "b28740f4ecef1738ea8f807461dd541b8287d5650b5be33bca7b474e3cbd1f36"},
	{Flavour: "cpu", Version: "1.31.1", OS: "windows", Arch: "amd64", Size: 14885761,
		Wheel:  "onnxruntime-1.31.1-cp311-cp311-win_amd64.whl",
		SHA256: "c3d91b5de31e2fc82d71bd65b2b22bddee8b49057a3a36338e9a868e0ea90c05"},
	{Flavour: "cpu", Version: "1.31.1", OS: "windows", Arch: "arm64", Size: 14735267,
		Wheel:  "onnxruntime-1.31.1-cp311-cp311-win_arm64.whl",
		SHA256: "93800007a7023b3ab26ad72e6463d0d57d84ead49a2f6341954d91438e046bc0"},
	{Flavour: "openvino", Version: "1.24.1", OS: "linux", Arch: "amd64", Size: 84430935,
		Wheel:  "onnxruntime_openvino-1.24.1-cp311-cp311-manylinux_2_28_x86_64.whl",
		SHA256: "3007c803634cc69c6d52af1dea7ce729d9bb62b9a11070fd2f959119199007a8"},
	{Flavour: "openvino", Version: "1.24.1", OS: "windows", Arch: "amd64", Size: 13655357,
		Wheel:  "onnxruntime_openvino-1.24.1-cp311-cp311-win_amd64.whl",
		SHA256: "8042698232bf67f1f6b219c2b07728d7ae7ddff17d8524588de3675480609aef"},
	{Flavour: "cuda", Version: "1.31.1", OS: "linux", Arch: "amd64", Size: 255560985,
		Wheel:  "onnxruntime_gpu-1.31.1-cp311-cp311-manylinux_2_28_x86_64.whl",
		SHA256: "e26c475fe361b2015f45b4b824bd13f0bb20204e59b62814e6f0acd5f3d491a6"},
	{Flavour: "cuda", Version: "1.31.1", OS: "linux", Arch: "arm64", Size: 212341829,
		Wheel:  "onnxruntime_gpu-1.31.1-cp312-cp312-manylinux_2_34_aarch64.whl",
		SHA256: "a0f1725c5a6d1ef82d63498b5ebc25e2c90c9560e91dc76db9be4a49162d4d33"},
	{Flavour: "cuda", Version: "1.31.1", OS: "windows", Arch: "amd64", Size: 168096711,
		Wheel:  "onnxruntime_gpu-1.31.1-cp311-cp311-win_amd64.whl",
		SHA256: "fd98341ba71c093153f0dcfc53eb69d57f706866fb45e94e5b0cde5d97a50dbf"},
	{Flavour: "qnn", Version: "1.24.4", OS: "windows", Arch: "amd64", Size: 103045959,
		Wheel:  "onnxruntime_qnn-1.24.4-cp311-cp311-win_amd64.whl",
		SHA256: "b05e5405618bcbedb510bfdffc24af2c898872e12545bc976e9ee9cdabd31e34"},
	{Flavour: "qnn", Version: "1.24.4", OS: "windows", Arch: "arm64", Size: 64629002,
		Wheel:  "onnxruntime_qnn-1.24.4-cp311-cp311-win_arm64.whl",
		SHA256: "0e7fa6940332ce8156c90b989c12e7038ea970f5edfe5389104de35806b3434f"},
}
