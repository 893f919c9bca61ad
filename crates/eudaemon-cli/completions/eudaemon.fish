# What fish needs to complete the words of eudaemon. A test holds it against the program's own grammar.

function __eudaemon_services
    set -l words (commandline -opc)
    set -l tree
    for at in (seq 2 (count $words))
        if contains -- $words[$at] -C --directory; and set -q words[(math $at + 1)]
            set tree -C $words[(math $at + 1)]
        end
    end
    eudaemon $tree __complete 2>/dev/null
end

set -l verbs up status start stop restart reload kill logs completions version help
set -l about status start stop restart reload kill logs

complete -c eudaemon -f
complete -c eudaemon -s C -l directory -r -a '(__fish_complete_directories)' -d 'Directory of the services'
complete -c eudaemon -s h -l help -d 'Print help'
complete -c eudaemon -n "not __fish_seen_subcommand_from $verbs" -s V -l version -d 'Print the version'

complete -c eudaemon -n "not __fish_seen_subcommand_from $verbs" -a up -d 'Run all services of a directory here'
complete -c eudaemon -n "not __fish_seen_subcommand_from $verbs" -a status -d 'Say what the services do'
complete -c eudaemon -n "not __fish_seen_subcommand_from $verbs" -a start -d 'Start services'
complete -c eudaemon -n "not __fish_seen_subcommand_from $verbs" -a stop -d 'Stop services'
complete -c eudaemon -n "not __fish_seen_subcommand_from $verbs" -a restart -d 'Stop and start services'
complete -c eudaemon -n "not __fish_seen_subcommand_from $verbs" -a reload -d 'Ask services to read their configuration again'
complete -c eudaemon -n "not __fish_seen_subcommand_from $verbs" -a kill -d 'Send services a signal'
complete -c eudaemon -n "not __fish_seen_subcommand_from $verbs" -a logs -d 'Show what services wrote'
complete -c eudaemon -n "not __fish_seen_subcommand_from $verbs" -a completions -d 'Print what a shell needs to complete these words'
complete -c eudaemon -n "not __fish_seen_subcommand_from $verbs" -a version -d 'Print the version'
complete -c eudaemon -n "not __fish_seen_subcommand_from $verbs" -a help -d 'Say how a verb is used'

complete -c eudaemon -n "__fish_seen_subcommand_from $about" -a '(__eudaemon_services)' -d Service
complete -c eudaemon -n '__fish_seen_subcommand_from up' -a '(__fish_complete_directories)'
complete -c eudaemon -n '__fish_seen_subcommand_from status' -l json -d 'Print a JSON array'
complete -c eudaemon -n '__fish_seen_subcommand_from status' -s a -l all -d 'Show loggers that are well, too'
complete -c eudaemon -n '__fish_seen_subcommand_from start stop restart reload' -l wait -x -d 'How long to wait, in seconds'
complete -c eudaemon -n '__fish_seen_subcommand_from start stop restart reload' -l no-block -d 'Do not wait'
complete -c eudaemon -n '__fish_seen_subcommand_from kill' -s s -l signal -x -d 'The signal' \
    -a 'TERM HUP INT QUIT ABRT KILL USR1 USR2 ALRM CONT STOP TSTP WINCH'
complete -c eudaemon -n '__fish_seen_subcommand_from logs' -s f -l follow -d 'Go on with new lines'
complete -c eudaemon -n '__fish_seen_subcommand_from logs' -s n -l lines -x -d 'How many of the last lines'
complete -c eudaemon -n '__fish_seen_subcommand_from logs' -l since -x -a 'today yesterday' -d 'No lines from before'
complete -c eudaemon -n '__fish_seen_subcommand_from logs' -l until -x -a 'today yesterday' -d 'No lines from after'
complete -c eudaemon -n '__fish_seen_subcommand_from logs' -s g -l grep -x -d 'Only lines that match'
complete -c eudaemon -n '__fish_seen_subcommand_from completions' -a 'bash zsh fish'
complete -c eudaemon -n '__fish_seen_subcommand_from help' -a "$verbs"
complete -c eud -w eudaemon
