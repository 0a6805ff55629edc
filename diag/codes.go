package diag

// Code names a kind of problem for good: it is never reused and never renumbered. Each has an entry in Codes.
type Code string

// CodeInfo documents a code. Example is a whole pipeline file that has the problem, where one file can show it;
// a test runs each example and expects that code.
type CodeInfo struct {
	Code    Code
	Title   string
	Example string
}

// The codes, by the phase that finds them.
const (
	// Reading the file: 01xx.
	BadYAML          Code = "LT0101" // the text is not YAML
	UnknownTransform Code = "LT0102" // no transform has that name
	UnknownKey       Code = "LT0103" // a key that has no meaning here
	DuplicateKey     Code = "LT0104" // a key given twice
	MissingKey       Code = "LT0105" // a required key is not given
	BadValue         Code = "LT0106" // a value of the wrong type or out of its range
	BadTemplate      Code = "LT0107" // the Jinja template cannot be expanded
	BadFile          Code = "LT0108" // a file cannot be read
	AmbiguousScalar  Code = "LT0109" // YAML 1.1 reads it as something else than it looks
	Unsupported      Code = "LT0110" // known to Beam, refused here with a reason

	// Wiring: 02xx.
	UnknownInput    Code = "LT0201" // an input names nothing that is there
	AmbiguousInput  Code = "LT0202" // an input names more than one thing
	MissingInput    Code = "LT0203" // a transform that needs an input has none
	UnwantedInput   Code = "LT0204" // a transform that takes no input has one
	Cycle           Code = "LT0205" // transforms that feed each other
	UnconsumedError Code = "LT0206" // an error output that nothing reads
	BadWiring       Code = "LT0207" // inputs or outputs in a form that is not allowed here

	// Expressions: 03xx.
	BadExpression  Code = "LT0301" // the text is not an expression of its language
	UnknownField   Code = "LT0302" // no field has that name
	CannotCompile  Code = "LT0303" // valid Python that leat does not compile
	BadOperands    Code = "LT0304" // an operation that always fails for these types
	UnknownName    Code = "LT0305" // no function, method or variable has that name
	BadGeneric     Code = "LT0306" // not an expression of the generic language
	WrongArguments Code = "LT0307" // a function called with arguments that it does not take

	// Types and schemas: 04xx.
	BadSchema    Code = "LT0401" // a JSON schema that cannot be understood
	TypeMismatch Code = "LT0402" // a type that does not fit what is wanted
	FieldExists  Code = "LT0403" // a field that would be there twice

	// Windows and time: 05xx.
	BadWindowing Code = "LT0501" // windowing that cannot be understood
	BadDuration  Code = "LT0502" // a duration that cannot be understood

	// Connectors: 06xx.
	NoSuchFile   Code = "LT0601" // a file, or all files of a glob, are missing
	CannotInfer  Code = "LT0602" // no schema can be inferred
	BadRecord    Code = "LT0603" // a record that cannot be decoded
	CannotWrite  Code = "LT0604" // a target that cannot be written
	InputChanged Code = "LT0605" // an input changed while it was read

	// Running: 07xx.
	RowFailed       Code = "LT0701" // an expression failed for a row
	AssertionFailed Code = "LT0702" // AssertEqual saw other rows
	OverThreshold   Code = "LT0703" // more errors than error_handling allows
	OverLimit       Code = "LT0704" // a named limit was passed
	Internal        Code = "LT0799" // a fault of leat's

	// Models: 08xx.
	BadModel   Code = "LT0801" // a model package that cannot be used
	NoRuntime  Code = "LT0802" // the runtime that models need is not there
	WrongInput Code = "LT0803" // a column that does not fit what a model takes

	// Streams: 09xx.
	NeverFires    Code = "LT0901" // an aggregate over unbounded input whose window never ends
	NoServer      Code = "LT0902" // a server that cannot be reached, or does not let us in
	StateMismatch Code = "LT0903" // a checkpoint that does not fit the pipeline
	StateDamaged  Code = "LT0904" // a checkpoint that cannot be read
	StateBusy     Code = "LT0905" // state that another run uses
	CannotStop    Code = "LT0906" // a stream did not stop at a checkpoint in time
)
