"""The words in which programs tell of errors of the system, the most specific first. Case does not matter."""

from mcp_docker.prompts.diagnosis.findings import Cause

_FAILED = r"(can'?t|cannot|could ?n[o']t|unable to|failed to)"
# not the names of capabilities
_VARIABLE = r"(?-i:(?<![A-Z_])(?!CAP_|NET_|SYS_|IPC_)[A-Z][A-Z0-9]*_[A-Z0-9_]+)"
_UNSET = (
    r"(not (set|defined|found|provided)|unset|missing|required|undefined|empty|must be (set|specified|provided)"
    r"|must not be (empty|blank))"
)
_CONNECT = rf"({_FAILED} connect|error connecting to)"
_PATH = r"(/\w|\bfile|director|\bmodule|certificate|private key|(?<![\w.])[\w-]+\.[a-z]\w{1,9}(?![\w.]))"
_LOW = r":(\d{1,2}|[1-9]\d\d|10[01]\d|102[0-3])\b"
_EXECUTED = r"^(exec \S+: |.*standard_init_linux|.*exec container process|.*exec user process).*"

SAID: tuple[tuple[Cause, str], ...] = (
    (Cause.WRITES_REFUSED, r"misconf redis|command not allowed when used memory|write against a read[- ]only replica"),
    (Cause.READ_ONLY, r"read-only file ?system|\berofs\b|readonly database"),
    (Cause.WATCHES_USED_UP, r"(i|fs)notify.*(no space left|too many|limit)|system limit for number of file watchers"),
    (Cause.SHARED_MEMORY, r"shared memory segment.*no space left|no space left.*/dev/shm|insufficient shared memory"),
    (
        Cause.DISK_FULL,
        r"no space left on device|\benospc\b|disk quota exceeded|disk is full|no space available"
        r"|flood stage disk watermark \[",
    ),
    (Cause.APP_DOWN, r"app crashed - waiting|entered fatal state|startup failed due to previous errors"),
    (Cause.API_TOO_OLD, r"client version \S+ is too old"),
    (
        Cause.HOST_SETTING,
        r"vm\.max_map_count \[|max (file descriptors|number of threads) \[\d+\].*too low|memory locking requested",
    ),
    (Cause.NOEXEC, r"failed to map segment from shared object(?!: cannot allocate)"),
    (
        Cause.DATA_DAMAGED,
        r"locate a valid checkpoint record|bad file format reading the append|no snapshot found, but there are log"
        r"|directory .*exists but is not empty|data directory has files in it|different lower_case_table_names"
        r"|doesn't match stored clusterid",
    ),
    (
        Cause.PROCESSES_USED_UP,
        r"can'?t fork|cannot fork|fork: (retry|resource)|can't start new thread|unable to create (new )?native thread"
        r"|pthread_create.*(fail|resource)|(fork|clone|thread|spawn).*resource temporarily unavailable",
    ),
    (Cause.FILES_USED_UP, r"too many open files|no file descriptors available|\bemfile\b|file descriptors? limit"),
    (
        Cause.PROGRAM_MEMORY,
        r"(?<!lock memory: )cannot allocate memory|\benomem\b|(?<!on)outofmemoryerror|javascript heap out of memory"
        r"|std::bad_alloc|\bmemoryerror|(?<!perhaps )out of memory|allowed memory size of"
        r"|could not reserve enough space for|insufficient memory for",
    ),
    (
        Cause.SHARED_LIBRARY,
        r"error (while )?loading shared librar|cannot open shared object|version `?\S+' not found|error relocating"
        r"|symbol not found|undefined symbol|icu package|required library \S+ could not be found"
        r"|must install or update \.net|invalid elf header|compiled against a different node\.js"
        r"|could not locate the query engine|unsupportedclassversionerror",
    ),
    (
        Cause.LINE_ENDINGS,
        r"\r': |\\r': |\^m\b|env: .*\\r|illegal option -\r?$|invalid option -?\r?$|not found\r$|\r: not found",
    ),
    (Cause.INTERPRETER_MISSING, r"bad interpreter|cannot execute: required file not found"),
    (Cause.SEGMENTATION_FAULT, r"segmentation fault|\bsigsegv\b(?!: segmentation violation)"),
    (Cause.ILLEGAL_INSTRUCTION, r"illegal instruction|\bsigill\b|cpu does not support"),
    (Cause.EXEC_FORMAT, r"exec format error|cannot execute binary file|\bqemu-\w+: could not open '/lib"),
    (
        Cause.DATA_VERSION,
        r"database files are incompatible|initialized by \S+ version|unsupported redo log|downgrad.*not supported"
        r"|invalid mysql server upgrade|required feature flag not enabled"
        r"|using \"pg_upgrade\"|featurecompatibilityversion|can't handle rdb format|upgrade.*data(base)? (dir|files)",
    ),
    (
        Cause.STALE_LOCK,
        r"(lock|pid) ?file .*(exists|found|held|stale|in use)|already running|another instance|already have another"
        r"|database is locked|lock db directory: resource"
        rf"|{_FAILED} (lock (?!memory)|(acquire|obtain|get|create)\b(?! change ?log).*\block"
        r"(?!.*(permission denied|no such file)))",
    ),
    (
        Cause.LISTEN_ADDRESS,
        r"\b(bind|listen).*(cannot assign requested address|\beaddrnotavail|address family not supported)"
        r"|socket\(\).*address family not supported",
    ),
    (
        Cause.LOW_PORT,
        rf"(bind|listen).*{_LOW}.*permission denied|bind: permission denied|(bind|listen).*\(13: permission denied\)"
        rf"|(bind|listen).*permission denied.*{_LOW}|permission denied.*\bbind.*{_LOW}",
    ),
    (
        Cause.PORT_IN_USE,
        r"address (already )?in use|connection in use: \(|\beaddrinuse\b|port .*\b(already )?(in use|allocated)",
    ),
    (
        Cause.RUNS_AS_ROOT,
        r"with superuser privileges when the"
        r"|(must|can|should)(not|n't| not) be run as (the )?.?(root|super)|as root without|\"root\" execution",
    ),
    (
        Cause.VARIABLE_MISSING,
        rf"env(ironment)?[ _-]?var.*{_UNSET}|(missing|required|undefined|unset)\b.*\benv(ironment)?([ _-]?var|\b)"
        r"|parameter (null or )?not set|unbound variable|keyerror: ['\"](?-i:[A-Z][A-Z0-9_]{2,})['\"]"
        rf"|{_VARIABLE}['\"`]?:? (\w+ )?{_UNSET}(?!.*\bdefault)"
        r"|(?-i:[A-Z][A-Z0-9_]{3,}) is (not set|unset|empty|required)"
        rf"|(missing|required?|must|need to|needs|please|specify|set|provide|without)\W+(\w+\W+){{0,6}}(?<!to )"
        rf"{_VARIABLE}"
        r"|password (option )?is not specified|superuser password is not|could not resolve placeholder"
        r"|value: notpresent|client password must be a string|secretorprivatekey must have"
        r"|no application encryption key",
    ),
    (
        Cause.MODULE_MISSING,
        r"modulenotfounderror|no module named|cannot find (module|package)|err_module_not_found|classnotfoundexception"
        r"|noclassdeffounderror|could not find or load main class|cannot load such file|importerror"
        r"|gemnotfound|in any of the (gem )?sources|class .*not found|can't locate \S+ in @inc"
        r"|could not load file or assembly|could not find (driver|gem)|no suitable driver|no main manifest attribute"
        r"|could not import module|module not found",
    ),
    (
        Cause.TLS_MISMATCH,
        r"ssl.*wrong.version.number|does not support ssl|does not look like a tls handshake"
        r"|http response to https client|plain http request was sent to https",
    ),
    (
        Cause.CERTIFICATE,
        r"certificate.*(verify failed|expired|unknown|not trusted|invalid)|(?<!ca )certificate.*signed|x509:"
        r"|self[- ]signed certificate"
        r"|no server certificate|unable to get local issuer|pkix path|tls: (failed|handshake|bad)"
        r"|ssl.*(verify|handshake).*fail|certificate's altnames|no subject alternative|key values mismatch"
        r"|unable to verify the first certificate",
    ),
    (
        Cause.LOGIN_REFUSED,
        r"authentication failed|access denied for user|invalid (username|password|credentials|api key)|wrongpass"
        r"|noauth|login failed|(?<!http/1\.1\" )\b401 unauthorized|login was refused|access_refused"
        r"|(locate|load) credentials|no pg_hba\.conf entry|not authorized|incorrect password"
        r"|\bcommand \w+ requires authentication|not allowed to connect to this",
    ),
    (
        Cause.NAME_UNKNOWN,
        r"name or service not known|temporary failure in name resolution|\benotfound\b|\beai_again\b|no such host"
        rf"|bad address|{_FAILED} (resolve|translate) (the )?(host|address|name|server|proxy)|unknownhost|unknown host"
        rf"|{_FAILED} resolve ('[\w.-]+'(?! in)|[\w.-]+:\d{{2,5}}(?![\w.]))|no resolvable bootstrap"
        r"|\blookup \S+ on \S+:53\b"
        r"|name does not resolve|nodename nor servname|server misbehaving|host not found|getaddrinfo|failed to lookup"
        r"|name resolution|(?<!is )\bnxdomain\b(?! qr)|unknown mysql server host|dns (lookup|resolution|error)",
    ),
    (
        Cause.DATABASE_LACKS,
        r"\b(relation|role|database|schema|column|table) (['\"`]\S+['\"`] |of relation .*)?(does not|doesn't) exist"
        r"|no such (table|column)|unknown (database|column) ['\"`]|table \S+ doesn't exist",
    ),
    (
        Cause.NOT_READY,
        r"database system is (starting up|shutting down|in recovery)|too many (clients|connections)"
        r"|remaining connection slots|connection limit exceeded|is loading the dataset",
    ),
    (
        Cause.MIGRATION,
        r"migrations are pending|pendingmigration|migration checksum|found failed migrations|can't locate revision"
        r"|unapplied migration|migrations have failed|could not acquire change ?log lock",
    ),
    (Cause.WORKER_TIMEOUT, r"\bworker (timeout|.*failed to check in)|\bharakiri\b|execution timed out \("),
    (Cause.UNREACHABLE, r"(network|host)( is)? unreachable|no route to host|\be(net|host)unreach\b"),
    (
        Cause.OWN_SOCKET,
        r"hy000\W+2002\W+no such file|connect to local (\w+ )?server through socket|connection to server on socket"
        r"|could not connect to server: no such file",
    ),
    (
        Cause.REFUSED,
        r"connection ?refused|connection to \S+ refused|connection to .* could not be established|\beconnrefused\b"
        rf"|{_CONNECT}(?! to (\(|the docker daemon at unix))(?!.*(deadline exceeded|timed? ?out))|actively refused"
        r"|can't reach|could not open a connection to sql|nobrokersavailable|amqpconnectionerror",
    ),
    (
        Cause.TIMED_OUT,
        r"connection timed out|\betimedout\b|i/o timeout|connect(ion)? ?timeout|operation timed out|download timed out"
        r"|timed out (connecting|waiting)|timeout.*connect|tls handshake timeout|server selection timed out"
        rf"|timeout occurred after waiting|{_CONNECT}.*(deadline exceeded|timed? ?out)|connection to .*timeout expired",
    ),
    (Cause.IS_A_DIRECTORY, r"is a directory|\beisdir\b|isadirectoryerror"),
    (
        Cause.NOT_PERMITTED,
        r"(?<!mbind: )operation not permitted|\beperm\b|capabilit(y|ies)|must be (run as )?(root|superuser)"
        r"|requires root|\bmlock(?!: supported)|lock memory",
    ),
    (
        Cause.ACCESS_DENIED,
        r"permission denied|\beacces\b|access is denied|accessdenied|not writable|cannot write to"
        r"|(invalid|wrong|bad|insecure) (permissions|ownership)|has wrong ownership|permissions \S+ .*too open"
        r"|file access denied|accessible by owner only|writable\] failed",
    ),
    (Cause.NO_TERMINAL, r"not a (tty|terminal)|no controlling terminal|inappropriate ioctl"),
    (
        Cause.SHELL_COMMAND_MISSING,
        r"^\S+: (line )?(\d+: )?\S+: (command )?not found|command not found|executable file not found|: not found$"
        r"|\bspawn \S+ enoent|can't exec|cannot run program",
    ),
    (
        Cause.MISSING_FILE,
        r"no such file|\benoent\b|filenotfound|nosuchfile|file not found"
        rf"|{_FAILED} (open|find|stat|locate)\b.*\bconfig|cannot connect to the docker daemon at unix"
        rf"|{_FAILED} (open|find|read|load|stat|locate)\b(?! (credentials|propert))(?!.*(pars|\byaml: |invalid|syntax))"
        rf"(?=.*{_PATH})"
        r"|director(y|ies) \S+ not found|does not exist|doesn't exist|\bmissing (file|config)|unable to access jarfile",
    ),
    (
        Cause.BAD_OPTION,
        r"(unrecogni[sz]ed|unknown|invalid|illegal|unexpected) (command|option|flag|argument|parameter)"
        r"|could not create the java virtual machine|maximum heap( size)?$|missing script:"
        r"|bad option: |\bcommand \"\w+\" not found|script not found"
        r"|flag provided but|no such (option|command)|^usage: |too (few|many) arguments|arguments? (are|is) required",
    ),
    (
        Cause.BAD_CONFIGURATION,
        r"syntax error|syntaxerror: .*json|(unknown|bad) directive|config file error|improperlyconfigured"
        r"|pars(e|er|ing) (error|fail)|(error|fail\w*|could not|cannot) (in |to )?pars"
        r"|\[emerg\]|(?<!syntaxerror: )invalid (config|value|json|yaml|url|port|setting|syntax)"
        r"|bad config|config\S* (error|is invalid)|(error|invalid|problem)\b.*\bconfig|yaml\S*error"
        r"|jsondecodeerror|toml\S*error|malformed(?! request)|unexpected token.*json"
        rf"|{_FAILED} (configure|validate)\b|validation errors? for \w*(config|settings)|\byaml: (line|unmarshal)"
        rf"|{_FAILED} (read|load)\b.*\bconfig|\(but are exclusive\)|field not found, node|err_socket_bad_port",
    ),
    # the last, since other errors often have it for a consequence
    (
        Cause.CONNECTION_LOST,
        r"\beconnreset\b|connection reset by peer|server closed the connection unexpectedly|socket hang up",
    ),
)

LANGUAGES: tuple[tuple[str, str], ...] = (
    ("Python", r"^\s*traceback \(most recent call last\)|^\s+file \".*\", line \d+"),
    ("Java", r"^exception in thread|^caused by: \S+(exception|error)|^\s+at [\w$.<>]+\([\w$]+\.(java|kt|scala):\d+\)"),
    (
        "JavaScript",
        r"^\s+at .*\.(m?js|cjs|ts):\d+:\d+|(^|[ (])node:internal|^\s*throw err"
        r"|unhandled ?promise ?rejection",
    ),
    ("Go", r"^panic: |^goroutine \d+ \[|(?-i:^fatal error: )"),
    ("Rust", r"^thread '.*' .*panicked at"),
    (".NET", r"^unhandled exception|^\s+at .* in .*\.cs:line \d+"),
    ("Ruby", r"\.rb:\d+:in [`']"),
    ("PHP", r"php fatal error|^fatal error: uncaught|^#\d+ .*\.php\(\d+\)"),
    ("Perl", r" at \S+\.p[lm] line \d+\."),
)

EXECUTED: tuple[tuple[Cause, str], ...] = (
    (Cause.EXEC_FORMAT, rf"{_EXECUTED}exec format error"),
    (Cause.INTERPRETER_MISSING, rf"{_EXECUTED}no such file or directory"),
    (Cause.NOT_EXECUTABLE, rf"{_EXECUTED}permission denied|^\[fatal tini.*permission denied"),
    (Cause.COMMAND_MISSING, r"^\[fatal tini.*no such file or directory"),
)
"""What the runtime itself writes into the log when the program can't be executed."""
