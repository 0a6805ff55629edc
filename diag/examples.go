package diag

// Codes documents all codes, in their order. Examples that can be shown by checking one file are whole files; a test
// compiles each and expects its code. Failures at run time have none.
var Codes = []CodeInfo{
	{BadYAML, "The text is not YAML", `
pipeline:
  transforms:
    - type: Create
      config: {elements: [1, 2
`},
	{UnknownTransform, "No transform has that name", `
pipeline:
  transforms:
    - type: Creat
      config: {elements: [1]}
`},
	{UnknownKey, "A key has no meaning here", `
pipeline:
  transforms:
    - type: Create
      config: {element: [1], elements: [1]}
`},
	{DuplicateKey, "A key is given twice", `
pipeline:
  transforms:
    - type: Create
      name: A
      name: B
      config: {elements: [1]}
`},
	{MissingKey, "A required key is not given", `
pipeline:
  transforms:
    - type: Create
`},
	{BadValue, "A value of the wrong type, or out of its range", `
pipeline:
  transforms:
    - type: Create
      config: {elements: 3}
`},
	{BadTemplate, "The Jinja template cannot be expanded", `
pipeline:
  transforms:
    - type: Create
      config: {elements: {{ elemnts }}}
`},
	{BadFile, "A file cannot be read", `
providers:
  - include: not-there.yaml
pipeline:
  transforms:
    - type: Create
      config: {elements: [1]}
`},
	{AmbiguousScalar, "YAML 1.1 reads a scalar as something else than it looks", `
pipeline:
  transforms:
    - type: Create
      config: {elements: [{valid: yes}]}
`},
	{Unsupported, "Known to Beam, refused here with a reason", `
pipeline:
  transforms:
    - type: ReadFromPubSub
      config: {topic: events}
`},
	{UnknownInput, "An input names nothing that is there", `
pipeline:
  transforms:
    - type: Create
      name: Rows
      config: {elements: [1]}
    - type: LogForTesting
      input: Row
`},
	{AmbiguousInput, "An input names more than one thing", `
pipeline:
  transforms:
    - type: Create
      config: {elements: [1]}
    - type: Create
      config: {elements: [2]}
    - type: LogForTesting
      input: Create
`},
	{MissingInput, "A transform that needs an input has none", `
pipeline:
  transforms:
    - type: LogForTesting
`},
	{UnwantedInput, "A transform that takes no input has one", `
pipeline:
  type: chain
  transforms:
    - type: Create
      config: {elements: [1]}
    - type: Create
      config: {elements: [2]}
`},
	{Cycle, "Transforms feed each other", `
pipeline:
  transforms:
    - type: LogForTesting
      name: A
      input: B
    - type: LogForTesting
      name: B
      input: A
`},
	{UnconsumedError, "Nothing reads an error output", `
pipeline:
  type: chain
  transforms:
    - type: Create
      config: {elements: [{n: 1}]}
    - type: Filter
      config:
        language: python
        keep: n > 0
        error_handling: {output: errors}
`},
	{BadWiring, "Inputs or outputs in a form that is not allowed here", `
pipeline:
  type: chain
  transforms:
    - type: Create
      config: {elements: [1]}
    - type: LogForTesting
      input: Create
`},
	{BadExpression, "The text is not an expression of its language", `
pipeline:
  type: chain
  transforms:
    - type: Create
      config: {elements: [{n: 1}]}
    - type: Filter
      config: {language: python, keep: n > }
`},
	{UnknownField, "No field has that name", `
pipeline:
  type: chain
  transforms:
    - type: Create
      config: {elements: [{age: 1}]}
    - type: Combine
      config: {group_by: agee, combine: {n: {value: age, fn: count}}}
`},
	{CannotCompile, "Valid Python that leat does not compile", `
pipeline:
  type: chain
  transforms:
    - type: Create
      config: {elements: [{n: 1}]}
    - type: MapToFields
      config:
        language: python
        fields:
          m:
            callable: |
              def f(row):
                return row.n
`},
	{BadOperands, "An operation always fails for these types", `
pipeline:
  type: chain
  transforms:
    - type: Create
      config: {elements: [{n: 1, s: a}]}
    - type: Filter
      config: {language: python, keep: n + s}
`},
	{UnknownName, "No function, method or variable has that name", `
pipeline:
  type: chain
  transforms:
    - type: Create
      config: {elements: [{s: a}]}
    - type: Filter
      config: {language: python, keep: s.uper()}
`},
	{BadGeneric, "Not an expression of the generic language", `
pipeline:
  type: chain
  transforms:
    - type: Create
      config: {elements: [{n: 1}]}
    - type: Filter
      config: {keep: n + 1 > 2}
`},
	{WrongArguments, "A function called with arguments that it does not take", `
pipeline:
  type: chain
  transforms:
    - type: Create
      config: {elements: [{s: a}]}
    - type: MapToFields
      config: {language: python, fields: {n: "len(s, s)"}}
`},
	{BadSchema, "A JSON schema that cannot be understood", `
pipeline:
  type: chain
  transforms:
    - type: Create
      config: {elements: [{n: 1}]}
    - type: ValidateWithSchema
      config: {schema: {type: object, properties: {n: {type: integr}}}}
`},
	{TypeMismatch, "A type that does not fit what is wanted", `
pipeline:
  type: chain
  transforms:
    - type: Create
      config: {elements: [{n: 1}]}
    - type: ValidateWithSchema
      config: {schema: {type: object, properties: {n: {type: string}}}}
`},
	{FieldExists, "A field would be there twice", `
pipeline:
  type: chain
  transforms:
    - type: Create
      config: {elements: [{n: 1}]}
    - type: MapToFields
      config: {append: true, fields: {n: "2"}}
`},
	{BadWindowing, "Windowing that cannot be understood", `
pipeline:
  windowing: {type: fixd, size: 10s}
  transforms:
    - type: Create
      config: {elements: [1]}
`},
	{BadDuration, "A duration that cannot be understood", `
pipeline:
  windowing: {type: fixed, size: 10 weeks}
  transforms:
    - type: Create
      config: {elements: [1]}
`},
	{NoSuchFile, "A file, or all files of a glob, are missing", `
pipeline:
  transforms:
    - type: ReadFromText
      config: {path: not-there-*.txt}
`},
	{CannotInfer, "No schema can be inferred", ""},
	{BadRecord, "A record cannot be decoded", ""},
	{CannotWrite, "A target cannot be written", ""},
	{InputChanged, "An input changed while it was read", ""},
	{RowFailed, "An expression failed for a row", ""},
	{AssertionFailed, "AssertEqual saw other rows", ""},
	{OverThreshold, "More rows failed than error_handling allows", ""},
	{OverLimit, "A named limit was passed", ""},
	{Internal, "A fault of leat's", ""},
	{BadModel, "A model package that cannot be used", `
pipeline:
  type: chain
  transforms:
    - type: Create
      config: {elements: [{text: fine}]}
    - type: RunInference
      config:
        model_handler: {type: ONNXModelHandler, config: {model: no-such-model.onnx}}
`},
	{NoRuntime, "The runtime that models need is not there", ""},
	{WrongInput, "A column that does not fit what a model takes", `
pipeline:
  type: chain
  transforms:
    - type: Create
      config: {elements: [{Type: L, Torque: 40.1}]}
    - type: RunInference
      config:
        model_handler: {type: HuggingFacePipelineModelHandler, config: {model: machine-failure}}
`},
	{NeverFires, "An aggregate over unbounded input whose window never ends", `
pipeline:
  type: chain
  transforms:
    - type: ReadFromHostMetrics
    - type: Combine
      config:
        group_by: metric
        combine: {value: mean}
    - type: LogForTesting
`},
	{NoServer, "A server cannot be reached, or does not let us in", ""},
	{StateMismatch, "A checkpoint does not fit the pipeline", ""},
	{StateDamaged, "A checkpoint cannot be read", ""},
	{StateBusy, "Another run uses the state", ""},
	{CannotStop, "A stream did not stop at a checkpoint in time", ""},
}
