#!/bin/sh
# Runs scripts of this folder, each in a virtual environment of its own with what its .txt pins: reference/run.sh [NAME ...]
# Without names, those that record answers and write the same files again. Environments stay in tmp/reference.
set -eu
cd "$(dirname "$0")/.."
data=${LEAT_SHARED:-../shared}/data

for name in ${*:-models_text models_image models_tabular image_cases minilm states onnx_cases}; do
	case $name in
	tokenizer_cases) set -- task/tokenizer/testdata ;;
	image_cases) set -- task/image/testdata ;;
	models_*) set -- task/testdata ;;
	minilm) set -- "${LEAT_MINILM:-tmp/minilm}" task/testdata/minilm ;;
	states) set -- --models "$data/onnx/models" task/testdata/states.json ;;
	onnx_cases) set -- "$data/onnx" ;;
	train_*) set -- --data "$data" ;;
	*) echo "reference/run.sh: no such script: $name" >&2 && exit 2 ;;
	esac
	case $* in
	*"$data"*) [ -d "$data" ] || { echo "$name: SKIPPED: there is no $data; LEAT_SHARED may name it"; continue; } ;;
	esac
	python=tmp/reference/$name/bin/python
	[ -x "$python" ] || python3 -m venv "tmp/reference/$name"
	"$python" -m pip install -q --disable-pip-version-check -r "reference/$name.txt"
	echo "== $name"
	# -P: a script beside this one hides no library of its name.
	if [ "$name" = onnx_cases ]; then
		"$python" -P reference/onnx_cases.py "$@" >tmp/reference/cases.txt && mv tmp/reference/cases.txt infer/onnx/testdata/cases.txt
	else
		"$python" -P "reference/$name.py" "$@"
	fi
done
