# bash completion for aigc, generated from its commands

_aigc_models=(
    'builtin:text'
    'builtin:image'
    'qwen3:0.6b'
    'qwen3:1.7b'
    'qwen3:4b'
    'qwen3:8b'
    'qwen2.5:0.5b'
    'qwen2.5:1.5b'
    'smollm2:135m'
    'smollm2:360m'
    'smollm2:1.7b'
    'smollm3:3b'
    'tinyllama:1.1b'
    'phi4-mini:3.8b'
    'gemma3:270m'
    'gemma3:1b'
    'llama3.2:1b'
    'gpt2'
    'sd1.5'
    'sdxl-turbo'
    'flux-schnell'
)

_aigc_is_command() {
    case "$1|$2" in
        '|chat' | '|complete' | '|image' | '|finetune' | '|show' | '|grid' | '|upscale' | '|export' | '|report' | '|doctor' | '|completion' | '|models' | '|config' | 'models|list' | 'models|show' | 'models|pull' | 'models|rm' | 'models|alias' | 'models|fit' | 'config|list' | 'config|get' | 'config|set' | 'config|unset' | 'config|path') return 0 ;;
        *) return 1 ;;
    esac
}

_aigc_options() {
    case "$1" in
        '') echo '--version -h --help' ;;
        'chat') echo '-m --model --device --dtype --base-url --yes --adapter --temperature --top-p --top-k --min-p --typical-p --repetition-penalty --presence-penalty --frequency-penalty --no-repeat-ngram-size --logit-bias --seed --max-new-tokens --min-new-tokens --stop --truncate --json -q --quiet -v --verbose --traceback -f --file -s --system --load -h --help' ;;
        'complete') echo '-m --model --device --dtype --base-url --yes --adapter --temperature --top-p --top-k --min-p --typical-p --repetition-penalty --presence-penalty --frequency-penalty --no-repeat-ngram-size --logit-bias --seed --max-new-tokens --min-new-tokens --stop --truncate --json -q --quiet -v --verbose --traceback -f --file -s --system --raw --instruct -n -o --output --separator --num-beams --early-stopping --length-penalty -h --help' ;;
        'image') echo '-m --model --device --dtype --adapter --controlnet --vae --embedding --cache --offload --compile --preview-decoder --yes --negative-prompt --width --height --steps --guidance-scale --scheduler --clip-skip --seed --transparent --background --variation --variation-seed --init-image --strength --mask --outpaint --control-image --control-scale --prompts -n --matrix --wildcards --batch-size --skip-bad --score --aesthetic --best-of --draft-steps --keep --min-score -o --output --filename --format --quality --overwrite --no-metadata --grid --webpage --preview --json -q --quiet -v --verbose --traceback --from -h --help' ;;
        'finetune') echo '-m --model --device --dtype --yes --validation --test --val-split --test-split --raw --instruct --train-on --max-length --packing --skip-bad --mix --method --freeze-layers --train-layers --lora-rank --lora-alpha --lora-dropout --target-modules --from-scratch --vocab-size --continue --optimizer --learning-rate --schedule --warmup --decay --weight-decay --max-grad-norm --label-smoothing --gradient-checkpointing --epochs --max-steps --batch-size --gradient-accumulation-steps --eval-steps --save-steps --keep --early-stopping-patience --seed --samples --metric --metric-samples --max-eval-samples --max-new-tokens --image --resolution --flip --caption-dropout --train-text-encoder --min-snr-gamma --average --sample-prompt --sample-steps --sample-seed -o --output --config --dry-run --resume --overwrite --tensorboard --html --json -q --quiet -v --verbose --traceback -h --help' ;;
        'show') echo '--json -q --quiet -v --verbose --traceback -h --help' ;;
        'grid') echo '-o --output --json -q --quiet -v --verbose --traceback --columns --cell --captions --no-captions --overwrite -h --help' ;;
        'upscale') echo '-o --output --json -q --quiet -v --verbose --traceback --scale -m --model --tile --device --dtype --overwrite --skip-bad -h --help' ;;
        'export') echo '--to -o --output --json -q --quiet -v --verbose --traceback -m --model --dtype --gguf-type --overwrite --yes -h --help' ;;
        'report') echo '--json -q --quiet -v --verbose --traceback --html -h --help' ;;
        'doctor') echo '--json -q --quiet -v --verbose --traceback -h --help' ;;
        'completion') echo '-h --help' ;;
        'models') echo '-h --help' ;;
        'models list') echo '--json -q --quiet -v --verbose --traceback -h --help' ;;
        'models show') echo '--json -q --quiet -v --verbose --traceback -h --help' ;;
        'models pull') echo '--json -q --quiet -v --verbose --traceback --yes -h --help' ;;
        'models rm') echo '--json -q --quiet -v --verbose --traceback --yes -h --help' ;;
        'models alias') echo '--json -q --quiet -v --verbose --traceback --remove -h --help' ;;
        'models fit') echo '--json -q --quiet -v --verbose --traceback -h --help' ;;
        'config') echo '-h --help' ;;
        'config list') echo '--json -q --quiet -v --verbose --traceback -h --help' ;;
        'config get') echo '--json -q --quiet -v --verbose --traceback -h --help' ;;
        'config set') echo '--json -q --quiet -v --verbose --traceback -h --help' ;;
        'config unset') echo '--json -q --quiet -v --verbose --traceback -h --help' ;;
        'config path') echo '--json -q --quiet -v --verbose --traceback -h --help' ;;
    esac
}

_aigc_option() {
    case "$1|$2" in
        'chat|-m' | 'chat|--model') kind='model' ;;
        'chat|--device') kind='words auto cpu cuda mps' ;;
        'chat|--dtype') kind='words auto float32 bfloat16 float16' ;;
        'chat|--base-url') kind='text' ;;
        'chat|--adapter') kind='text' ;;
        'chat|--temperature') kind='text' ;;
        'chat|--top-p') kind='text' ;;
        'chat|--top-k') kind='text' ;;
        'chat|--min-p') kind='text' ;;
        'chat|--typical-p') kind='text' ;;
        'chat|--repetition-penalty') kind='text' ;;
        'chat|--presence-penalty') kind='text' ;;
        'chat|--frequency-penalty') kind='text' ;;
        'chat|--no-repeat-ngram-size') kind='text' ;;
        'chat|--logit-bias') kind='text' ;;
        'chat|--seed') kind='text' ;;
        'chat|--max-new-tokens') kind='text' ;;
        'chat|--min-new-tokens') kind='text' ;;
        'chat|--stop') kind='text' ;;
        'chat|--truncate') kind='words oldest middle' ;;
        'chat|-f' | 'chat|--file') kind='file' ;;
        'chat|-s' | 'chat|--system') kind='text' ;;
        'chat|--load') kind='file' ;;
        'complete|-m' | 'complete|--model') kind='model' ;;
        'complete|--device') kind='words auto cpu cuda mps' ;;
        'complete|--dtype') kind='words auto float32 bfloat16 float16' ;;
        'complete|--base-url') kind='text' ;;
        'complete|--adapter') kind='text' ;;
        'complete|--temperature') kind='text' ;;
        'complete|--top-p') kind='text' ;;
        'complete|--top-k') kind='text' ;;
        'complete|--min-p') kind='text' ;;
        'complete|--typical-p') kind='text' ;;
        'complete|--repetition-penalty') kind='text' ;;
        'complete|--presence-penalty') kind='text' ;;
        'complete|--frequency-penalty') kind='text' ;;
        'complete|--no-repeat-ngram-size') kind='text' ;;
        'complete|--logit-bias') kind='text' ;;
        'complete|--seed') kind='text' ;;
        'complete|--max-new-tokens') kind='text' ;;
        'complete|--min-new-tokens') kind='text' ;;
        'complete|--stop') kind='text' ;;
        'complete|--truncate') kind='words oldest middle' ;;
        'complete|-f' | 'complete|--file') kind='file' ;;
        'complete|-s' | 'complete|--system') kind='text' ;;
        'complete|-n') kind='text' ;;
        'complete|-o' | 'complete|--output') kind='file' ;;
        'complete|--separator') kind='text' ;;
        'complete|--num-beams') kind='text' ;;
        'complete|--length-penalty') kind='text' ;;
        'image|-m' | 'image|--model') kind='model' ;;
        'image|--device') kind='words auto cpu cuda mps' ;;
        'image|--dtype') kind='words auto float32 bfloat16 float16' ;;
        'image|--adapter') kind='text' ;;
        'image|--controlnet') kind='file' ;;
        'image|--vae') kind='file' ;;
        'image|--embedding') kind='file' ;;
        'image|--preview-decoder') kind='file' ;;
        'image|--negative-prompt') kind='text' ;;
        'image|--width') kind='text' ;;
        'image|--height') kind='text' ;;
        'image|--steps') kind='text' ;;
        'image|--guidance-scale') kind='text' ;;
        'image|--scheduler') kind='text' ;;
        'image|--clip-skip') kind='text' ;;
        'image|--seed') kind='text' ;;
        'image|--background') kind='text' ;;
        'image|--variation') kind='text' ;;
        'image|--variation-seed') kind='text' ;;
        'image|--init-image') kind='file' ;;
        'image|--strength') kind='text' ;;
        'image|--mask') kind='file' ;;
        'image|--outpaint') kind='text' ;;
        'image|--control-image') kind='file' ;;
        'image|--control-scale') kind='text' ;;
        'image|--prompts') kind='text' ;;
        'image|-n') kind='text' ;;
        'image|--matrix') kind='text' ;;
        'image|--wildcards') kind='file' ;;
        'image|--batch-size') kind='text' ;;
        'image|--score') kind='text' ;;
        'image|--aesthetic') kind='file' ;;
        'image|--best-of') kind='text' ;;
        'image|--draft-steps') kind='text' ;;
        'image|--keep') kind='text' ;;
        'image|--min-score') kind='text' ;;
        'image|-o' | 'image|--output') kind='file' ;;
        'image|--filename') kind='text' ;;
        'image|--format') kind='words png jpeg webp' ;;
        'image|--quality') kind='text' ;;
        'image|--preview') kind='words every final none' ;;
        'image|--from') kind='file' ;;
        'finetune|-m' | 'finetune|--model') kind='model' ;;
        'finetune|--device') kind='words auto cpu cuda mps' ;;
        'finetune|--dtype') kind='words auto float32 bfloat16 float16' ;;
        'finetune|--validation') kind='text' ;;
        'finetune|--test') kind='text' ;;
        'finetune|--val-split') kind='text' ;;
        'finetune|--test-split') kind='text' ;;
        'finetune|--train-on') kind='words completion all' ;;
        'finetune|--max-length') kind='text' ;;
        'finetune|--method') kind='words full freeze lora dora qlora' ;;
        'finetune|--freeze-layers') kind='text' ;;
        'finetune|--train-layers') kind='text' ;;
        'finetune|--lora-rank') kind='text' ;;
        'finetune|--lora-alpha') kind='text' ;;
        'finetune|--lora-dropout') kind='text' ;;
        'finetune|--target-modules') kind='text' ;;
        'finetune|--from-scratch') kind='text' ;;
        'finetune|--vocab-size') kind='text' ;;
        'finetune|--continue') kind='text' ;;
        'finetune|--optimizer') kind='words adamw muon sgd adafactor' ;;
        'finetune|--learning-rate') kind='text' ;;
        'finetune|--schedule') kind='words cosine linear constant wsd' ;;
        'finetune|--warmup') kind='text' ;;
        'finetune|--decay') kind='text' ;;
        'finetune|--weight-decay') kind='text' ;;
        'finetune|--max-grad-norm') kind='text' ;;
        'finetune|--label-smoothing') kind='text' ;;
        'finetune|--epochs') kind='text' ;;
        'finetune|--max-steps') kind='text' ;;
        'finetune|--batch-size') kind='text' ;;
        'finetune|--gradient-accumulation-steps') kind='text' ;;
        'finetune|--eval-steps') kind='text' ;;
        'finetune|--save-steps') kind='text' ;;
        'finetune|--keep') kind='text' ;;
        'finetune|--early-stopping-patience') kind='text' ;;
        'finetune|--seed') kind='text' ;;
        'finetune|--samples') kind='text' ;;
        'finetune|--metric') kind='words exact-match bleu chrf rouge-l accuracy' ;;
        'finetune|--metric-samples') kind='text' ;;
        'finetune|--max-eval-samples') kind='text' ;;
        'finetune|--max-new-tokens') kind='text' ;;
        'finetune|--resolution') kind='text' ;;
        'finetune|--caption-dropout') kind='text' ;;
        'finetune|--min-snr-gamma') kind='text' ;;
        'finetune|--average') kind='text' ;;
        'finetune|--sample-prompt') kind='text' ;;
        'finetune|--sample-steps') kind='text' ;;
        'finetune|--sample-seed') kind='text' ;;
        'finetune|-o' | 'finetune|--output') kind='text' ;;
        'finetune|--config') kind='file' ;;
        'grid|-o' | 'grid|--output') kind='file' ;;
        'grid|--columns') kind='text' ;;
        'grid|--cell') kind='text' ;;
        'upscale|-o' | 'upscale|--output') kind='file' ;;
        'upscale|--scale') kind='text' ;;
        'upscale|-m' | 'upscale|--model') kind='file' ;;
        'upscale|--tile') kind='text' ;;
        'upscale|--device') kind='words auto cpu cuda mps' ;;
        'upscale|--dtype') kind='words auto float32 bfloat16 float16' ;;
        'export|--to') kind='words merged adapter gguf' ;;
        'export|-o' | 'export|--output') kind='file' ;;
        'export|-m' | 'export|--model') kind='model' ;;
        'export|--dtype') kind='words auto float32 bfloat16 float16' ;;
        'export|--gguf-type') kind='words f16 bf16 q8_0' ;;
        'report|--html') kind='file' ;;
    esac
}

_aigc_argument() {
    case "$1|$2" in
        '|1') echo 'words chat complete image finetune show grid upscale export report doctor completion models config' ;;
        'chat|1') echo 'text' ;;
        'complete|1') echo 'text' ;;
        'image|1') echo 'text' ;;
        'finetune|'*) echo 'text' ;;
        'show|'*) echo 'file' ;;
        'grid|'*) echo 'file' ;;
        'upscale|'*) echo 'file' ;;
        'export|1') echo 'file' ;;
        'report|1') echo 'file' ;;
        'completion|1') echo 'words bash zsh fish powershell' ;;
        'models|1') echo 'words list show pull rm alias fit' ;;
        'models show|1') echo 'model' ;;
        'models pull|1') echo 'model' ;;
        'models rm|1') echo 'model' ;;
        'models alias|1') echo 'text' ;;
        'models alias|2') echo 'model' ;;
        'models fit|1') echo 'model' ;;
        'config|1') echo 'words list get set unset path' ;;
        'config get|1') echo 'words model image_model device dtype system temperature top_p top_k min_p repetition_penalty max_new_tokens truncate base_url api_key_env timeout' ;;
        'config set|1') echo 'words model image_model device dtype system temperature top_p top_k min_p repetition_penalty max_new_tokens truncate base_url api_key_env timeout' ;;
        'config set|2') echo 'setting' ;;
        'config unset|1') echo 'words model image_model device dtype system temperature top_p top_k min_p repetition_penalty max_new_tokens truncate base_url api_key_env timeout' ;;
    esac
}

_aigc_setting() {
    case "$1" in
        dtype) echo 'words auto float32 bfloat16 float16' ;;
        truncate) echo 'words oldest middle' ;;
        device) echo 'words auto cpu cuda mps' ;;
        model) echo 'model' ;;
        *) echo text ;;
    esac
}

_aigc_aliases() {
    local file line table= name
    if [[ -n ${AIGC_HOME-} ]]; then
        file=${AIGC_HOME/#\~/$HOME}/config/config.toml
    elif [[ $OSTYPE == darwin* ]]; then
        file="$HOME/Library/Application Support/aigc/config.toml"
    else
        file=${XDG_CONFIG_HOME:-$HOME/.config}/aigc/config.toml
    fi
    [[ -f $file && -r $file ]] || return 0
    while IFS= read -r line || [[ -n $line ]]; do
        line=${line#"${line%%[![:space:]]*}"}
        if [[ $line == '['* ]]; then
            table=${line%%]*}
        elif [[ $table == '[aliases' && $line == [!#]*=* ]]; then
            name=${line%%=*}
            name=${name%"${name##*[![:space:]]}"}
            name=${name#[\"\']}
            printf '%s\n' "${name%[\"\']}"
        fi
    done <"$file"
}

_aigc_offer() {
    local name
    for name in "$@"; do
        [[ $name == "$cur"* ]] && COMPREPLY+=("$name")
    done
}

_aigc_offer_models() {
    local name file
    _aigc_offer "${_aigc_models[@]}"
    while IFS= read -r name; do
        _aigc_offer "$name"
    done < <(_aigc_aliases)
    # with a name in reach files are added to the names; with none, readline completes files by itself
    if [[ -n $cur ]] && ((${#COMPREPLY[@]})); then
        while IFS= read -r file; do
            COMPREPLY+=("$file")
            compopt -o filenames 2>/dev/null
        done < <(compgen -f -- "$cur")
    fi
}

_aigc() {
    local words=() word rest=${COMP_LINE:0:COMP_POINT} i n=-1
    # bash has cut the words at : and = too: put them together again
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if ((n < 0)) || [[ $rest == [[:space:]]* ]]; then
            rest=${rest#"${rest%%[![:space:]]*}"}
            words[++n]=
        fi
        ((i == COMP_CWORD)) && word=$rest
        words[n]+=$word
        rest=${rest#"$word"}
    done

    local cur=${words[n]} path= kind= last= count=0 only_arguments=
    for ((i = 1; i < n; i++)); do
        word=${words[i]}
        if [[ -n $kind ]]; then
            kind= # the word was this option's value
        elif [[ -z $only_arguments && $word == -- ]]; then
            only_arguments=1
        elif [[ -z $only_arguments && $word == -?* ]]; then
            [[ $word == --*=* ]] || _aigc_option "$path" "$word"
        elif _aigc_is_command "$path" "$word"; then
            path+=${path:+ }$word
        else
            ((++count))
            last=$word
        fi
    done

    COMPREPLY=()
    if [[ -n $kind ]]; then
        :
    elif [[ -z $only_arguments && $cur == --*=* ]]; then
        _aigc_option "$path" "${cur%%=*}"
        cur=${cur#*=}
    elif [[ -z $only_arguments && $cur == -* ]]; then
        kind="words $(_aigc_options "$path")"
    else
        kind=$(_aigc_argument "$path" $((count + 1)))
    fi
    [[ $kind == setting ]] && kind=$(_aigc_setting "$last")

    case $kind in
        'words '*) _aigc_offer ${kind#words } ;;
        model) _aigc_offer_models ;;
    esac
    case $kind in
        model | file) ;;
        folder) compopt +o default -o dirnames 2>/dev/null ;;
        *) compopt +o default +o bashdefault 2>/dev/null ;;
    esac

    # bash replaces only what stands after the last : or =
    local kept=${cur%"${cur##*[:]}"}
    if [[ -n $kept && $COMP_WORDBREAKS == *:* ]]; then
        for i in "${!COMPREPLY[@]}"; do
            COMPREPLY[i]=${COMPREPLY[i]#"$kept"}
        done
    fi
}

complete -o bashdefault -o default -F _aigc aigc
