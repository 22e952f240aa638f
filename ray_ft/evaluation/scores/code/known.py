"""Names that every program of a language may use: what the language and its standard library bring.

Python's are read off the interpreter. Of the others these are the names that programs use most, by hand: a rarer one
counts as unknown unless the corpus or the question has it, for every system alike.
"""

import builtins
import inspect
import sys
from functools import cache
from importlib import import_module
from types import CodeType

PYTHON_MODULES = """
    abc argparse array ast asyncio base64 bisect calendar collections collections.abc concurrent.futures
    configparser contextlib copy csv ctypes dataclasses datetime decimal difflib email enum errno fnmatch fractions
    functools gc getpass glob gzip hashlib heapq hmac html http.client http.server importlib inspect io ipaddress
    itertools json keyword locale logging math mimetypes multiprocessing numbers operator os os.path pathlib pickle
    pkgutil platform pprint queue random re sched secrets select shelve shlex shutil signal socket sqlite3 ssl stat
    statistics string struct subprocess sys tarfile tempfile textwrap threading time timeit tomllib traceback types
    typing unicodedata unittest unittest.mock urllib.error urllib.parse urllib.request uuid warnings weakref
    xml.etree.ElementTree zipfile zlib
"""
C = """
    size_t ssize_t ptrdiff_t int8_t int16_t int32_t int64_t uint8_t uint16_t uint32_t uint64_t intptr_t uintptr_t
    time_t clock_t FILE bool true false NULL EOF stdin stdout stderr errno main argc argv malloc calloc realloc free
    memcpy memmove memset memcmp memchr strlen strcpy strncpy strcat strncat strcmp strncmp strchr strrchr strstr
    strtok strdup strerror strtol strtoul strtod strtoll atoi atol atof abs labs fabs sqrt pow exp log log2 log10
    sin cos tan asin acos atan atan2 floor ceil round fmod fmin fmax printf fprintf sprintf snprintf vprintf
    vsnprintf scanf sscanf fscanf puts putchar getchar fgets fputs fputc fgetc fopen fclose fread fwrite fseek ftell
    rewind fflush feof ferror perror remove rename exit abort atexit assert qsort bsearch rand srand time clock
    difftime localtime gmtime strftime mktime isalpha isdigit isalnum isspace isupper islower ispunct isxdigit
    toupper tolower va_list va_start va_end va_arg offsetof SIZE_MAX INT_MAX INT_MIN UINT_MAX LONG_MAX LONG_MIN
    CHAR_BIT DBL_MAX FLT_MAX EXIT_SUCCESS EXIT_FAILURE setjmp longjmp signal getenv system read write open close
    pthread_t pthread_create pthread_join pthread_mutex_t pthread_mutex_lock pthread_mutex_unlock sizeof
"""
KNOWN = {
    "c": C,
    "cpp": C
    + """
    std string wstring string_view vector array deque list forward_list map multimap unordered_map set unordered_set
    pair tuple optional variant any function unique_ptr shared_ptr weak_ptr make_unique make_shared move forward
    swap begin end cbegin cend rbegin rend size empty clear push_back emplace_back pop_back push_front pop_front
    push pop top front back insert emplace erase find count at data resize reserve capacity substr append c_str
    length compare replace npos first second get make_pair make_tuple tie ignore cout cerr cin clog endl ostream
    istream ostringstream istringstream stringstream ifstream ofstream fstream iostream getline str good fail eof
    setw setprecision fixed hex exception runtime_error logic_error invalid_argument out_of_range overflow_error
    bad_alloc what sort stable_sort find_if find_if_not count_if any_of all_of none_of for_each transform accumulate
    reduce copy copy_if copy_n remove_if unique reverse rotate fill fill_n generate iota max min max_element
    min_element minmax clamp lower_bound upper_bound binary_search equal distance advance next prev back_inserter
    inserter to_string stoi stol stoul stof stod numeric_limits infinity thread mutex lock_guard unique_lock
    scoped_lock condition_variable atomic future promise async launch chrono milliseconds seconds microseconds
    nanoseconds steady_clock system_clock now duration duration_cast this_thread sleep_for nullptr_t nullopt
    has_value value value_or hash less greater plus minus iterator const_iterator value_type size_type
    difference_type reference is_same is_same_v enable_if enable_if_t decay_t conditional_t true_type false_type
    initializer_list span filesystem path exists regex regex_match regex_search smatch random_device mt19937
    uniform_int_distribution uniform_real_distribution bitset stack queue priority_queue ranges views byte
    """,
    "java": """
    java util lang io nio time net math text function stream concurrent atomic file Object String StringBuilder
    StringBuffer CharSequence Character Integer Long Short Byte Double Float Boolean Number Math System Runtime
    Thread Runnable Exception RuntimeException Error Throwable IllegalArgumentException IllegalStateException
    NullPointerException IndexOutOfBoundsException UnsupportedOperationException NumberFormatException
    ClassCastException ArithmeticException IOException UncheckedIOException FileNotFoundException
    InterruptedException TimeoutException ExecutionException NoSuchElementException ConcurrentModificationException
    CloneNotSupportedException AssertionError Override Deprecated SuppressWarnings FunctionalInterface SafeVarargs
    Iterable Iterator Comparable Comparator Cloneable AutoCloseable Closeable Serializable Class Enum Record Void
    List ArrayList LinkedList Map HashMap LinkedHashMap TreeMap SortedMap Set HashSet LinkedHashSet TreeSet Queue
    Deque ArrayDeque PriorityQueue Stack Vector Collection Collections Arrays Objects Optional OptionalInt
    OptionalLong OptionalDouble Stream IntStream LongStream DoubleStream Collectors Function BiFunction Supplier
    Consumer BiConsumer Predicate BiPredicate UnaryOperator BinaryOperator Callable Future CompletableFuture
    Executor ExecutorService Executors TimeUnit CountDownLatch ConcurrentHashMap ConcurrentMap AtomicInteger
    AtomicLong AtomicBoolean AtomicReference ReentrantLock Lock Scanner Random UUID Date Calendar Locale Properties
    BitSet Pattern Matcher Instant Duration LocalDate LocalTime LocalDateTime ZonedDateTime ZoneId DateTimeFormatter
    Path Paths Files File InputStream OutputStream Reader Writer BufferedReader BufferedWriter InputStreamReader
    FileReader FileWriter ByteArrayInputStream ByteArrayOutputStream PrintStream PrintWriter StandardCharsets
    Charset UTF_8 BigDecimal BigInteger RoundingMode URI URL out err in print println printf format toString equals
    hashCode getClass compareTo compare clone length charAt substring indexOf lastIndexOf contains startsWith
    endsWith replace replaceAll split join trim strip toLowerCase toUpperCase isEmpty isBlank matches valueOf
    parseInt parseLong parseDouble intValue longValue doubleValue append insert reverse deleteCharAt setLength add
    addAll addFirst addLast get set put putAll putIfAbsent remove removeIf removeFirst removeLast clear size
    containsKey containsValue getOrDefault computeIfAbsent computeIfPresent compute merge keySet values entrySet
    getKey getValue iterator hasNext next forEach stream map mapToInt mapToObj mapToDouble filter flatMap collect
    reduce sorted distinct limit skip count sum average max min anyMatch allMatch noneMatch findFirst findAny toList
    toSet toMap joining groupingBy counting boxed of ofNullable empty orElse orElseGet orElseThrow isPresent
    ifPresent asList sort copyOf copyOfRange fill unmodifiableList emptyList singletonList apply accept test run
    call submit execute shutdown join start sleep interrupt currentThread lock unlock requireNonNull hash abs pow
    sqrt floor ceil round random currentTimeMillis nanoTime getProperty getenv exit arraycopy getMessage getCause
    printStackTrace addSuppressed close read write readLine lines flush poll peek offer push pop element MAX_VALUE
    MIN_VALUE incrementAndGet getAndIncrement name ordinal stripTrailing repeat toCharArray getBytes main args
    comparing reversed thenComparing naturalOrder reverseOrder nextInt
    """,
    "csharp": """
    System Collections Generic Linq Text Threading Tasks IO Object String StringBuilder Char Int32 Int64 Double
    Decimal Boolean Byte Guid DateTime DateTimeOffset TimeSpan Math Console Environment Random Convert Array Tuple
    Exception ArgumentException ArgumentNullException ArgumentOutOfRangeException InvalidOperationException
    NotSupportedException NotImplementedException KeyNotFoundException FormatException NullReferenceException
    IOException OperationCanceledException List Dictionary HashSet Queue Stack SortedDictionary LinkedList
    IEnumerable IEnumerator ICollection IList IDictionary IReadOnlyList IReadOnlyDictionary IDisposable IComparable
    IEquatable KeyValuePair Func Action Predicate Task ValueTask CancellationToken CancellationTokenSource Thread
    Interlocked Monitor SemaphoreSlim Lazy Nullable Span ReadOnlySpan Memory Enumerable File Directory Path Stream
    StreamReader StreamWriter MemoryStream Encoding UTF8 Regex Type Attribute Obsolete Flags EventArgs EventHandler
    ToString Equals GetHashCode GetType CompareTo Length Count Add AddRange Remove RemoveAt Clear Contains
    ContainsKey TryGetValue Keys Values Key Value Insert IndexOf Substring Split Join Trim Replace ToLower ToUpper
    StartsWith EndsWith IsNullOrEmpty IsNullOrWhiteSpace Format Empty Parse TryParse Select SelectMany Where OrderBy
    OrderByDescending ThenBy GroupBy First FirstOrDefault Last LastOrDefault Single SingleOrDefault Any All Sum
    Average Max Min Aggregate Distinct Take Skip Reverse ToList ToArray ToDictionary Concat Zip Range Repeat
    WriteLine Write ReadLine Append AppendLine Abs Pow Sqrt Floor Ceiling Round Now UtcNow Today Run WhenAll Delay
    Result ConfigureAwait Dispose Invoke Message InnerException Enqueue Dequeue Push Pop Peek MaxValue MinValue Copy
    Sort Resize NewLine Main args GetEnumerator Current MoveNext HasValue Cast OfType AsSpan nameof var dynamic
    """,
    "go": """
    bool string int int8 int16 int32 int64 uint uint8 uint16 uint32 uint64 uintptr byte rune float32 float64
    complex64 complex128 error any comparable true false nil iota append cap clear close complex copy delete imag
    len make max min new panic print println real recover main init fmt Println Printf Print Sprintf Sprint Sprintln
    Errorf Fprintf Fprintln Fprint Sscanf Stringer errors New Is As Unwrap Join strings Builder Split SplitN
    Contains HasPrefix HasSuffix TrimSpace Trim TrimPrefix TrimSuffix Replace ReplaceAll ToLower ToUpper Fields
    Index Repeat EqualFold NewReader NewReplacer strconv Itoa Atoi ParseInt ParseFloat ParseBool FormatInt Quote
    bytes Buffer Equal os Args Exit Open Create ReadFile WriteFile Getenv Stdin Stdout Stderr MkdirAll Remove
    RemoveAll Stat IsNotExist ErrNotExist FileMode io Reader Writer ReadAll Copy EOF ReadWriter Closer Close Read
    Write WriteString bufio NewScanner NewWriter Scanner Scan Text Flush sync Mutex RWMutex WaitGroup Once Pool Map
    Lock Unlock RLock RUnlock Add Done Wait Do atomic AddInt64 LoadInt64 context Context Background TODO WithCancel
    WithTimeout WithDeadline WithValue Canceled Err Value time Time Duration Now Since Sub Sleep After Tick NewTimer
    NewTicker Second Millisecond Minute Hour Microsecond Nanosecond Unix Format Parse RFC3339 sort Slice Sort
    Strings Ints SearchInts slices maps math Abs Max Min Floor Ceil Sqrt Pow Inf MaxInt64 MaxInt Pi rand Intn net
    http Handler HandlerFunc HandleFunc ListenAndServe Request ResponseWriter Get Post Client Error StatusOK json
    Marshal MarshalIndent Unmarshal NewDecoder NewEncoder Decode Encode log Fatal Fatalf Logger path filepath Base
    Dir Ext regexp MustCompile MatchString reflect TypeOf ValueOf DeepEqual testing T B Run Fatal Helper unicode
    IsDigit IsLetter IsSpace IsUpper utf8 RuneCountInString String Len Less Swap Push Pop heap Init Header Body
    """,
    "rust": """
    i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize f32 f64 bool char str String Vec Option Some None Result Ok
    Err Box Rc Arc Cell RefCell Mutex RwLock Cow HashMap HashSet BTreeMap BTreeSet VecDeque BinaryHeap Iterator
    IntoIterator FromIterator Item Clone Copy Debug Default Display Drop Eq PartialEq Ord PartialOrd Hash Hasher
    Send Sync Sized Fn FnMut FnOnce From Into TryFrom TryInto AsRef AsMut Borrow ToString ToOwned FromStr Error
    Deref Index Add Sub Mul Div Neg Output Ordering Less Greater Equal Range Path PathBuf File Duration Instant Self
    self std core alloc collections fmt io fs env rc cell sync thread time cmp ops iter str mem ptr error hash
    convert borrow path process println print eprintln format panic vec assert assert_eq assert_ne debug_assert
    unreachable todo unimplemented write writeln matches include_str derive cfg test new default clone len is_empty
    push pop insert remove get get_mut contains contains_key iter iter_mut into_iter map filter filter_map flat_map
    fold collect enumerate zip rev take skip chain any all find position count sum max min max_by min_by max_by_key
    min_by_key sort sort_by sort_by_key sort_unstable dedup extend drain retain first last next peek peekable
    windows chunks split join trim lines chars bytes to_string to_owned into from as_str as_ref as_mut as_bytes
    as_slice to_vec parse unwrap unwrap_or unwrap_or_else unwrap_or_default expect ok err ok_or ok_or_else and_then
    or_else map_err is_some is_none is_ok is_err cloned copied entry or_insert or_insert_with or_default keys values
    values_mut with_capacity capacity clear swap replace starts_with ends_with to_lowercase to_uppercase abs pow
    sqrt powi powf floor ceil round wrapping_add checked_add checked_sub saturating_sub eq ne cmp partial_cmp fmt
    Formatter f finish field debug_struct drop lock read write read_to_string read_line stdin stdout args spawn send
    recv channel sleep now elapsed from_secs from_millis deref hash MAX MIN main u concat repeat rem_euclid
    """,
    "ruby": """
    puts print p pp require require_relative raise loop lambda proc attr_reader attr_writer attr_accessor include
    extend private public protected module_function new initialize class each each_with_index each_with_object map
    flat_map select filter reject reduce inject sum min max min_by max_by sort sort_by group_by partition zip find
    detect any all none count first last take drop push pop shift unshift append concat join split strip chomp gsub
    sub match scan upcase downcase capitalize reverse length size empty to_s to_i to_f to_a to_h to_sym inspect nil
    is_a respond_to send public_send freeze frozen dup clone key keys values fetch dig merge delete include has_key
    times upto downto step tap then call yield_self format sprintf rand sleep gets exit abort catch throw
    define_method instance_variable_get instance_variable_set method String Integer Float Array Hash Symbol Object
    Kernel Module Class Struct Set Range Proc Time Date File Dir IO Regexp Comparable Enumerable Exception
    StandardError ArgumentError TypeError NameError NoMethodError KeyError IndexError RuntimeError
    NotImplementedError ZeroDivisionError Math Random JSON Thread Mutex Queue message backtrace now open read write
    readlines exist basename dirname extname nil? empty? include? key? is_a? respond_to? any? all? none? zero? even?
    odd? block_given? compact uniq flatten sample shuffle transpose rotate each_slice each_cons sqrt pow floor ceil
    round abs divmod chars bytes lines start_with? end_with? tr freeze alias_method ljust rjust center
    """,
    "php": """
    self parent static this strlen count sizeof isset empty array list in_array array_map array_filter array_reduce
    array_merge array_keys array_values array_slice array_splice array_push array_pop array_shift array_unshift
    array_search array_unique array_reverse array_sum array_combine array_flip array_fill array_key_exists
    array_column array_diff array_intersect sort rsort usort uasort uksort ksort asort range compact extract implode
    explode join str_replace str_contains str_starts_with str_ends_with str_repeat str_pad str_split substr strpos
    strrpos stripos strtolower strtoupper ucfirst ucwords trim ltrim rtrim sprintf printf number_format nl2br
    htmlspecialchars preg_match preg_match_all preg_replace preg_split preg_replace_callback json_encode json_decode
    serialize unserialize is_array is_string is_int is_numeric is_null is_callable is_object is_bool intval floatval
    strval boolval gettype get_class method_exists property_exists call_user_func call_user_func_array func_get_args
    define defined constant date time mktime strtotime microtime usleep sleep file_get_contents file_put_contents
    fopen fclose fgets fread fwrite feof file_exists is_file is_dir mkdir unlink basename dirname realpath abs ceil
    floor round min max pow sqrt rand mt_rand random_int var_dump print_r error_log header setcookie md5 sha1 hash
    bin2hex random_bytes uniqid spl_object_id iterator_to_array DateTime DateTimeImmutable DateInterval Exception
    InvalidArgumentException RuntimeException LogicException TypeError Throwable Error ArrayAccess Countable
    IteratorAggregate Iterator ArrayIterator Generator JsonSerializable Closure stdClass PDO PDOException
    SplObjectStorage getMessage getCode getPrevious format modify diff prepare execute fetch fetchAll query
    __construct __get __set __call __toString __invoke PHP_EOL JSON_PRETTY_PRINT JSON_THROW_ON_ERROR true false null
    TRUE FALSE NULL string int float bool mixed void iterable callable object
    """,
    "bash": """
    echo printf read cd pwd ls cat cp mv rm mkdir rmdir ln touch chmod chown find grep egrep sed awk cut sort uniq
    wc head tail tr tee xargs test true false exit return export local declare readonly set unset shift source eval
    exec trap wait sleep date basename dirname realpath readlink mktemp kill ps df du tar gzip gunzip zip unzip curl
    wget ssh scp rsync git make which command type env sudo id whoami hostname uname seq expr let getopts mapfile
    readarray diff cmp stat file
    """,
    "kotlin": """
    kotlin collections text io math java util Any Unit Nothing String Char Int Long Short Byte Float Double Boolean
    Number Array IntArray ByteArray List MutableList Set MutableSet Map MutableMap Collection Iterable Sequence Pair
    Triple Result Exception Throwable RuntimeException IllegalArgumentException IllegalStateException Comparable
    CharSequence Enum Regex StringBuilder println print require requireNotNull check checkNotNull error listOf
    mutableListOf arrayOf setOf mutableSetOf mapOf mutableMapOf emptyList emptyMap emptySet hashMapOf arrayListOf
    listOfNotNull sequenceOf lazy let run apply also with takeIf takeUnless repeat it to first second map mapNotNull
    mapIndexed flatMap filter filterNot filterNotNull forEach forEachIndexed fold reduce sumOf sum max min maxOf minOf
    maxByOrNull minByOrNull any all none count firstOrNull last lastOrNull single find sortedBy sortedByDescending
    sorted groupBy associate associateBy associateWith zip partition take drop distinct reversed joinToString toList
    toSet toMap toMutableList toTypedArray toInt toLong toDouble toFloat toString add addAll remove clear put get set
    getOrDefault getOrNull getOrPut getOrElse containsKey contains isEmpty isNotEmpty isNullOrEmpty isBlank
    isNullOrBlank orEmpty size length indices keys values entries key value substring split trim replace startsWith
    endsWith uppercase lowercase format equals hashCode compareTo invoke use coerceIn coerceAtLeast coerceAtMost
    until downTo step launch async await withContext delay suspend Dispatchers IO Main Flow StateFlow collect emit
    """,
    "swift": """
    Foundation Swift UIKit SwiftUI String Character Int Int8 Int16 Int32 Int64 UInt UInt8 UInt32 UInt64 Double Float
    Bool Void Any AnyObject Array Dictionary Set Optional Result Error Data Date URL UUID Range Codable Encodable
    Decodable Equatable Hashable Comparable Identifiable CustomStringConvertible Sequence Collection Never Task
    MainActor Sendable DispatchQueue NotificationCenter NSObject NSError JSONEncoder JSONDecoder FileManager
    URLSession URLRequest print debugPrint fatalError precondition assert min max abs zip stride type self Self super
    init count isEmpty first last append insert remove removeAll removeFirst removeLast contains map flatMap
    compactMap filter reduce forEach sorted sort reversed enumerated joined split prefix suffix dropFirst dropLast
    firstIndex allSatisfy keys values index indices startIndex endIndex description localizedDescription hasPrefix
    hasSuffix uppercased lowercased trimmingCharacters replacingOccurrences components utf8 rawValue shared main
    async await sync encode decode data absoluteString path hash into value key some none success failure get resume
    View body State Binding Published ObservableObject Text VStack HStack
    """,
    "scala": """
    scala java collection mutable immutable util concurrent duration Any AnyRef AnyVal Unit Nothing Null String Char
    Int Long Short Byte Float Double Boolean Array List Seq Vector Set Map Option Some None Either Left Right Try
    Success Failure Future Await ExecutionContext Iterator Iterable Traversable Stream LazyList Range Tuple2 Function1
    PartialFunction Ordering Numeric BigInt BigDecimal StringBuilder Buffer ArrayBuffer ListBuffer Exception Throwable
    RuntimeException IllegalArgumentException Nil println print require assert apply unapply update map flatMap filter
    filterNot withFilter foreach fold foldLeft foldRight reduce collect collectFirst find exists forall count sum
    product max min maxBy minBy head headOption tail last lastOption init take drop takeWhile dropWhile slice zip
    zipWithIndex unzip groupBy partition span sorted sortBy sortWith reverse distinct mkString toList toSeq toSet
    toMap toArray toVector toString toInt toLong toDouble toOption get getOrElse orElse contains isEmpty nonEmpty
    isDefined size length keys values updated removed append prepend indices until to by equals hashCode compare
    trim split replace startsWith endsWith substring toUpperCase toLowerCase format recover recoverWith onComplete
    implicitly summon using given copy
    """,
    "lua": """
    _G _VERSION self assert collectgarbage dofile error getmetatable ipairs load loadfile loadstring next pairs pcall
    print rawequal rawget rawlen rawset require select setmetatable tonumber tostring type unpack xpcall arg string
    byte char dump find format gmatch gsub len lower match rep reverse sub upper pack packsize table concat insert
    move remove sort math abs ceil floor fmod huge max maxinteger min mininteger modf pi random randomseed sqrt
    tointeger ult sin cos tan exp log io close flush input lines open output popen read stderr stdin stdout tmpfile
    write seek os clock date difftime execute exit getenv rename time tmpname coroutine create isyieldable resume
    running status
    wrap yield debug traceback getinfo package path cpath loaded preload utf8 codepoint offset bit32 band bor bxor
    __index __newindex __call __tostring __eq __lt __le __add __sub __mul __div __len __gc __mode __metatable new
    """,
    "terraform": """
    resource data variable output module provider terraform locals moved import check var local each self path count
    for_each depends_on lifecycle provisioner connection source version required_version required_providers backend
    description type default sensitive nullable validation condition error_message value values key name id arn tags
    region string number bool list map set object tuple any optional true false null root cwd workspace index
    create_before_destroy prevent_destroy ignore_changes replace_triggered_by precondition postcondition dynamic
    content iterator labels abs ceil floor log max min parseint pow signum chomp format formatlist indent join lower
    regex regexall replace split strrev substr title trim trimprefix trimsuffix trimspace upper chunklist coalesce
    coalescelist compact concat contains distinct element flatten keys length lookup matchkeys merge range reverse
    setintersection setproduct setsubtract setunion slice sort sum transpose zipmap base64decode base64encode
    jsondecode jsonencode yamldecode yamlencode urlencode csvdecode file fileexists fileset filebase64 templatefile
    abspath dirname pathexpand basename formatdate timeadd timestamp md5 sha1 sha256 uuid cidrhost cidrnetmask
    cidrsubnet cidrsubnets can try tobool tolist tomap tonumber toset tostring
    """,
}
JAVASCRIPT = """
    console log error warn info debug window document globalThis process module exports require Object Array String
    Number Boolean Symbol BigInt Function Date Math JSON RegExp Promise Map Set WeakMap WeakSet Proxy Reflect Error
    TypeError RangeError SyntaxError ReferenceError Intl ArrayBuffer Uint8Array Float32Array Float64Array Int32Array
    DataView URL URLSearchParams Headers Request Response FormData Blob File AbortController Event EventTarget
    CustomEvent Node Element HTMLElement fetch setTimeout clearTimeout setInterval clearInterval setImmediate
    queueMicrotask structuredClone requestAnimationFrame parseInt parseFloat isNaN isFinite encodeURIComponent
    decodeURIComponent undefined NaN Infinity arguments constructor prototype length name push pop shift unshift
    slice splice concat join reverse sort indexOf lastIndexOf includes find findIndex findLast filter map flatMap
    flat reduce reduceRight forEach some every fill keys values entries from of isArray at assign create freeze
    defineProperty getPrototypeOf hasOwnProperty hasOwn fromEntries toString valueOf toFixed toUpperCase toLowerCase
    trim trimStart trimEnd split replace replaceAll match matchAll test exec search startsWith endsWith padStart
    padEnd repeat charAt charCodeAt codePointAt fromCharCode substring substr localeCompare normalize parse
    stringify then catch finally resolve reject all allSettled race any get set has delete clear add size next done
    value call apply bind max min abs floor ceil round random sqrt pow sign trunc log2 log10 PI now getTime
    getFullYear getMonth getDate getDay getHours getMinutes getSeconds toISOString iterator asyncIterator message
    stack cause status ok json text body headers href addEventListener removeEventListener dispatchEvent
    querySelector querySelectorAll getElementById createElement appendChild removeChild setAttribute getAttribute
    classList style textContent innerHTML preventDefault stopPropagation target currentTarget env argv cwd exit
    stdout stderr on once emit path fs readFile readFileSync writeFile writeFileSync existsSync promises Buffer
    isInteger isSafeInteger MAX_SAFE_INTEGER EPSILON location navigator localStorage sessionStorage getItem setItem
"""
TYPESCRIPT = """
    string number boolean any unknown never void object bigint symbol Partial Required Readonly Record Pick Omit
    Exclude Extract NonNullable ReturnType Parameters InstanceType Awaited ReadonlyArray Iterable Iterator Generator
    AsyncIterable ArrayLike PromiseLike Uppercase Lowercase const infer keyof asserts is unique
"""


@cache
def names_of(language: str) -> frozenset[str]:
    """The names that a language of GRAMMARS and its standard library bring."""
    if language == "python":
        return _python()
    if language in ("javascript", "typescript", "tsx"):
        return frozenset((JAVASCRIPT + ("" if language == "javascript" else TYPESCRIPT)).split())
    return frozenset(KNOWN[language].split())


def _python() -> frozenset[str]:
    """Builtins, the modules of the standard library, and what the common ones and their classes hold."""
    found = {*sys.stdlib_module_names, "self", "cls", "args", "kwargs"}
    owners: list[object] = [builtins]
    for name in PYTHON_MODULES.split():
        found.update(name.split("."))
        owners.append(import_module(name))
    for owner in owners:
        found.update(dir(owner))
        for member in list(vars(owner).values()):
            found.update(_parameters(member))
            if isinstance(member, type):
                found.update(dir(member))
                for method in list(vars(member).values()):
                    found.update(_parameters(method))
    for function in vars(builtins).values():
        try:  # of those in C the interpreter tells some
            found.update(inspect.signature(function).parameters)
        except (TypeError, ValueError):
            continue
    return frozenset(found)


def _parameters(function: object) -> tuple[str, ...]:
    """Names that a function's arguments may be given by."""
    code = getattr(function, "__code__", None)
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount] if isinstance(code, CodeType) else ()
