#compdef eudaemon eud
# What zsh needs to complete the words of eudaemon. A test holds it against the program's own grammar.

_eudaemon_services() {
    local -a services
    services=(${(f)"$(eudaemon "${eudaemon_tree[@]}" __complete 2>/dev/null)"})
    compadd -a services
}

_eudaemon() {
    local curcontext="$curcontext" state line
    typeset -A opt_args
    local -a eudaemon_tree verbs
    local where=$words[(i)(-C|--directory)]
    (( where < CURRENT - 1 )) && eudaemon_tree=(-C "${(Q)words[where + 1]}")
    local -a general=(
        '(-C --directory)'{-C+,--directory=}'[directory of the services]:directory:_files -/'
        '(- *)'{-h,--help}'[print help]'
    )
    local -a waiting=(
        '(--no-block)--wait=[how long to wait]:seconds:'
        '(--wait)--no-block[do not wait]'
    )
    verbs=(
        'up:run all services of a directory here'
        'status:say what the services do'
        'start:start services'
        'stop:stop services'
        'restart:stop and start services'
        'reload:ask services to read their configuration again'
        'kill:send services a signal'
        'logs:show what services wrote'
        'completions:print what a shell needs to complete these words'
        'version:print the version'
        'help:say how a verb is used'
    )
    _arguments -C $general '(- *)'{-V,--version}'[print the version]' '1:verb:->verb' '*::argument:->argument'
    case $state in
    verb) _describe verb verbs ;;
    argument)
        case $words[1] in
        up) _arguments $general '1:directory:_files -/' ;;
        status) _arguments $general --json'[print a JSON array]' {-a,--all}'[show loggers that are well, too]' \
            '*:service:_eudaemon_services' ;;
        start | stop | restart | reload) _arguments $general $waiting '*:service:_eudaemon_services' ;;
        kill) _arguments $general {-s+,--signal=}'[the signal]:signal:(TERM HUP INT QUIT ABRT KILL USR1 USR2 ALRM CONT STOP TSTP WINCH)' \
            '*:service:_eudaemon_services' ;;
        logs) _arguments $general {-f,--follow}'[go on with new lines]' {-n+,--lines=}'[how many of the last lines]:number:' \
            '--since=[no lines from before]:when:(today yesterday)' '--until=[no lines from after]:when:(today yesterday)' \
            {-g+,--grep=}'[only lines that match]:regular expression:' \
            '*:service:_eudaemon_services' ;;
        completions) _arguments $general '1:shell:(bash zsh fish)' ;;
        help) _describe verb verbs ;;
        *) _arguments $general ;;
        esac
        ;;
    esac
}

if [[ $funcstack[1] == _eudaemon ]]; then
    _eudaemon "$@"
else
    compdef _eudaemon eudaemon eud
fi
