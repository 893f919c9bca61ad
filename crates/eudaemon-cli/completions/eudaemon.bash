# What bash (4.4 or later) needs to complete the words of eudaemon. A test holds it against the program's own grammar.

_eudaemon() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} verb= words= services= name i
    local -a tree=()
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        -C | --directory) tree=(-C "${COMP_WORDS[++i]}") ;;
        -s | --signal | --wait | -n | --lines | --since | --until | -g | --grep) ((++i)) ;;
        -*) ;;
        *) [[ $verb ]] || verb=${COMP_WORDS[i]} ;;
        esac
    done
    case $prev in
    -C | --directory)
        compopt -o dirnames 2>/dev/null
        return
        ;;
    -s | --signal) words='TERM HUP INT QUIT ABRT KILL USR1 USR2 ALRM CONT STOP TSTP WINCH' ;;
    --since | --until) words='now today yesterday' ;;
    --wait | -n | --lines | -g | --grep) return ;;
    *)
        words='-C --directory -h --help'
        case $verb in
        '') words+=' -V --version' ;;
        status) words+=' --json -a --all' services=yes ;;
        start | stop | restart | reload) words+=' --wait --no-block' services=yes ;;
        kill) words+=' -s --signal' services=yes ;;
        logs) words+=' -f --follow -n --lines --since --until -g --grep' services=yes ;;
        esac
        if [[ $cur != -* ]]; then
            case $verb in
            '') words='up status start stop restart reload kill logs completions version help' ;;
            help) words='up status start stop restart reload kill logs completions version' ;;
            completions) words='bash zsh fish' ;;
            up)
                compopt -o dirnames 2>/dev/null
                return
                ;;
            *) words= ;;
            esac
            [[ $services ]] && while IFS= read -r name; do
                # Not by compgen -W, which would expand what a name may hold.
                [[ $name == "$cur"* ]] && COMPREPLY+=("$(printf %q "$name")")
            done < <("${COMP_WORDS[0]}" "${tree[@]}" __complete 2>/dev/null)
        fi
        ;;
    esac
    [[ $words ]] && COMPREPLY+=($(compgen -W "$words" -- "$cur"))
}
complete -F _eudaemon eudaemon eud
