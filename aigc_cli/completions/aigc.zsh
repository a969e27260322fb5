#compdef aigc
# zsh completion for aigc, generated from its commands

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

_aigc_model_names() {
    local expl ret=1
    local -a names=('builtin:text' 'builtin:image' 'qwen3:0.6b' 'qwen3:1.7b' 'qwen3:4b' 'qwen3:8b' 'qwen2.5:0.5b' 'qwen2.5:1.5b' 'smollm2:135m' 'smollm2:360m' 'smollm2:1.7b' 'smollm3:3b' 'tinyllama:1.1b' 'phi4-mini:3.8b' 'gemma3:270m' 'gemma3:1b' 'llama3.2:1b' 'gpt2' 'sd1.5' 'sdxl-turbo' 'flux-schnell' ${(f)"$(_aigc_aliases)"})
    _wanted models expl model compadd -a names && ret=0
    _files && ret=0
    return ret
}

_aigc_setting() {
    case $line[1] in
        dtype) compadd -- auto float32 bfloat16 float16 ;;
        truncate) compadd -- oldest middle ;;
        device) compadd -- auto cpu cuda mps ;;
        model) _aigc_model_names ;;
        *) _message value ;;
    esac
}

_aigc() {
    local curcontext="$curcontext" state line
    typeset -A opt_args
    local -a commands=(
        'chat:Talk with a model; with a message, or one piped in, one reply and out.'
        'complete:Continue a text, or follow an instruction on one.'
        'image:Draw pictures from text: one, or a file full of prompts that survives being killed.'
        'finetune:Train a model on your own data: checked first, resumable after anything, measured before and after.'
        'show:Show how pictures were made: by aigc, A1111 or ComfyUI, as far as they tell.'
        'grid:Put pictures on one contact sheet, with their prompts and seeds.'
        'upscale:Make pictures larger: by Lanczos, which adds no detail, or with a model that does.'
        'export:Turn a result of finetune into a whole model, a plain adapter, or a GGUF file for llama.cpp.'
        'report:Show what a run of training achieved, or write it as an HTML page.'
        'doctor:Show versions, devices, their speed, folders, settings, and what is amiss (status 1 if anything is).'
        'completion:Print the completion script for a shell; on a terminal also how to install it.'
        'models:List, download, remove and name models, and see what fits.'
        'config:Show and change settings.'
    )
    _arguments -C \
        '(--version)--version[Print the version and leave.]' \
        '(-h --help)-h[Show this message and exit.]' \
        '(-h --help)--help[Show this message and exit.]' \
        '1: :->command' '*:: :->rest' && return
    case $state in
        command) _describe command commands ;;
        rest)
            case $words[1] in
                chat) _aigc_command_chat ;;
                complete) _aigc_command_complete ;;
                image) _aigc_command_image ;;
                finetune) _aigc_command_finetune ;;
                show) _aigc_command_show ;;
                grid) _aigc_command_grid ;;
                upscale) _aigc_command_upscale ;;
                export) _aigc_command_export ;;
                report) _aigc_command_report ;;
                doctor) _aigc_command_doctor ;;
                completion) _aigc_command_completion ;;
                models) _aigc_command_models ;;
                config) _aigc_command_config ;;
            esac
            ;;
    esac
}

_aigc_command_chat() {
    _arguments -s -S \
        '(-m --model)-m[Built-in name, alias, folder, GGUF file, Hub id, or openai\:NAME.]:model:_aigc_model_names' \
        '(-m --model)--model=[Built-in name, alias, folder, GGUF file, Hub id, or openai\:NAME.]:model:_aigc_model_names' \
        '(--device)--device=[auto, cpu, cuda, cuda\:N or mps.]:device:(auto cpu cuda mps)' \
        '(--dtype)--dtype=[Number format of the weights.]:dtype:(auto float32 bfloat16 float16)' \
        '(--base-url)--base-url=[Endpoint for openai\:NAME, such as http\://localhost\:8080/v1.]:base-url: ' \
        '(--yes)--yes[Do not ask before a large download.]' \
        '*--adapter=[LoRA to merge into the model\: its folder; repeatable.]:adapter: ' \
        '(--temperature)--temperature=[Randomness; 0 is greedy.]:temperature: ' \
        '(--top-p)--top-p=[Keep the likeliest tokens that make up this mass.]:top-p: ' \
        '(--top-k)--top-k=[Keep the K likeliest tokens; 0 is off.]:top-k: ' \
        '(--min-p)--min-p=[Drop tokens below this share of the likeliest one'\''s.]:min-p: ' \
        '(--typical-p)--typical-p=[Locally typical sampling, with this mass.]:typical-p: ' \
        '(--repetition-penalty)--repetition-penalty=[Above 1 makes tokens already seen less likely.]:repetition-penalty: ' \
        '(--presence-penalty)--presence-penalty=[Subtracted once from tokens already generated.]:presence-penalty: ' \
        '(--frequency-penalty)--frequency-penalty=[Subtracted each time a token was generated.]:frequency-penalty: ' \
        '(--no-repeat-ngram-size)--no-repeat-ngram-size=[Never say the same N tokens twice.]:no-repeat-ngram-size: ' \
        '*--logit-bias=[Add BIAS to the logit of a token id; repeatable.]:logit-bias: ' \
        '(--seed)--seed=[Same seed, same text; without one it is drawn and reported.]:seed: ' \
        '(--max-new-tokens)--max-new-tokens=[Stop after N tokens; without it after 1024, or when the context is full.]:max-new-tokens: ' \
        '(--min-new-tokens)--min-new-tokens=[Do not end before N tokens.]:min-new-tokens: ' \
        '*--stop=[End before this string; repeatable.]:stop: ' \
        '(--truncate)--truncate=[When the input does not fit\: drop the oldest turns, or the middle.]:truncate:(oldest middle)' \
        '(--json)--json[Events as JSON lines on stdout.]' \
        '(-q --quiet)-q[No notes on stderr.]' \
        '(-q --quiet)--quiet[No notes on stderr.]' \
        '(-v --verbose)-v[More notes on stderr.]' \
        '(-v --verbose)--verbose[More notes on stderr.]' \
        '(--traceback)--traceback[Show the Python traceback of an error.]' \
        '*-f[Text to put before the prompt; repeatable; - is stdin.]:file:_files' \
        '*--file=[Text to put before the prompt; repeatable; - is stdin.]:file:_files' \
        '(-s --system)-s[System prompt.]:system: ' \
        '(-s --system)--system=[System prompt.]:system: ' \
        '(--load)--load=[Go on with a conversation that /save wrote.]:load:_files' \
        '(-h --help)-h[Show this message and exit.]' \
        '(-h --help)--help[Show this message and exit.]' \
        '1:message: '
}

_aigc_command_complete() {
    _arguments -s -S \
        '(-m --model)-m[Built-in name, alias, folder, GGUF file, Hub id, or openai\:NAME.]:model:_aigc_model_names' \
        '(-m --model)--model=[Built-in name, alias, folder, GGUF file, Hub id, or openai\:NAME.]:model:_aigc_model_names' \
        '(--device)--device=[auto, cpu, cuda, cuda\:N or mps.]:device:(auto cpu cuda mps)' \
        '(--dtype)--dtype=[Number format of the weights.]:dtype:(auto float32 bfloat16 float16)' \
        '(--base-url)--base-url=[Endpoint for openai\:NAME, such as http\://localhost\:8080/v1.]:base-url: ' \
        '(--yes)--yes[Do not ask before a large download.]' \
        '*--adapter=[LoRA to merge into the model\: its folder; repeatable.]:adapter: ' \
        '(--temperature)--temperature=[Randomness; 0 is greedy.]:temperature: ' \
        '(--top-p)--top-p=[Keep the likeliest tokens that make up this mass.]:top-p: ' \
        '(--top-k)--top-k=[Keep the K likeliest tokens; 0 is off.]:top-k: ' \
        '(--min-p)--min-p=[Drop tokens below this share of the likeliest one'\''s.]:min-p: ' \
        '(--typical-p)--typical-p=[Locally typical sampling, with this mass.]:typical-p: ' \
        '(--repetition-penalty)--repetition-penalty=[Above 1 makes tokens already seen less likely.]:repetition-penalty: ' \
        '(--presence-penalty)--presence-penalty=[Subtracted once from tokens already generated.]:presence-penalty: ' \
        '(--frequency-penalty)--frequency-penalty=[Subtracted each time a token was generated.]:frequency-penalty: ' \
        '(--no-repeat-ngram-size)--no-repeat-ngram-size=[Never say the same N tokens twice.]:no-repeat-ngram-size: ' \
        '*--logit-bias=[Add BIAS to the logit of a token id; repeatable.]:logit-bias: ' \
        '(--seed)--seed=[Same seed, same text; without one it is drawn and reported.]:seed: ' \
        '(--max-new-tokens)--max-new-tokens=[Stop after N tokens; without it after 1024, or when the context is full.]:max-new-tokens: ' \
        '(--min-new-tokens)--min-new-tokens=[Do not end before N tokens.]:min-new-tokens: ' \
        '*--stop=[End before this string; repeatable.]:stop: ' \
        '(--truncate)--truncate=[When the input does not fit\: drop the oldest turns, or the middle.]:truncate:(oldest middle)' \
        '(--json)--json[Events as JSON lines on stdout.]' \
        '(-q --quiet)-q[No notes on stderr.]' \
        '(-q --quiet)--quiet[No notes on stderr.]' \
        '(-v --verbose)-v[More notes on stderr.]' \
        '(-v --verbose)--verbose[More notes on stderr.]' \
        '(--traceback)--traceback[Show the Python traceback of an error.]' \
        '*-f[Text to put before the prompt; repeatable; - is stdin.]:file:_files' \
        '*--file=[Text to put before the prompt; repeatable; - is stdin.]:file:_files' \
        '(-s --system)-s[System prompt.]:system: ' \
        '(-s --system)--system=[System prompt.]:system: ' \
        '(--raw)--raw[Continue the text as it stands, without the chat template.]' \
        '(--instruct)--instruct[Treat the text as a message to answer.]' \
        '(-n)-n[Completions to make.]:n: ' \
        '(-o --output)-o[Write the text to a file; - is stdout.]:output:_files' \
        '(-o --output)--output=[Write the text to a file; - is stdout.]:output:_files' \
        '(--separator)--separator=[Line between completions.]:separator: ' \
        '(--num-beams)--num-beams=[Beam search with this many beams; the text comes at the end.]:num-beams: ' \
        '(--early-stopping)--early-stopping[End beam search when enough beams have ended.]' \
        '(--length-penalty)--length-penalty=[Beam search\: above 0 favours long texts.]:length-penalty: ' \
        '(-h --help)-h[Show this message and exit.]' \
        '(-h --help)--help[Show this message and exit.]' \
        '1:prompt: '
}

_aigc_command_image() {
    _arguments -s -S \
        '(-m --model)-m[Built-in name, alias, diffusers folder, checkpoint file, or Hub id.]:model:_aigc_model_names' \
        '(-m --model)--model=[Built-in name, alias, diffusers folder, checkpoint file, or Hub id.]:model:_aigc_model_names' \
        '(--device)--device=[auto, cpu, cuda, cuda\:N or mps.]:device:(auto cpu cuda mps)' \
        '(--dtype)--dtype=[Number format of the weights.]:dtype:(auto float32 bfloat16 float16)' \
        '*--adapter=[LoRA of diffusers, PEFT or kohya; repeatable.]:adapter: ' \
        '(--controlnet)--controlnet=[ControlNet, for --control-image.]:controlnet:_files' \
        '(--vae)--vae=[VAE in place of the model'\''s own.]:vae:_files' \
        '*--embedding=[Textual inversion\: a word that prompts may use; repeatable.]:embedding:_files' \
        '(--cache)--cache[Reuse work between steps\: faster, and not the same picture; -v tells how far off that was.]' \
        '(--offload)--offload[Keep on the GPU only what is at work.]' \
        '(--compile)--compile[Compile the model first\: pays for many pictures.]' \
        '(--preview-decoder)--preview-decoder=[Tiny decoder (TAESD) for sharper previews.]:preview-decoder:_files' \
        '(--yes)--yes[Do not ask before a large download.]' \
        '(--negative-prompt)--negative-prompt=[What not to draw.]:negative-prompt: ' \
        '(--width)--width=[Pixels.]:width: ' \
        '(--height)--height=[Pixels.]:height: ' \
        '(--steps)--steps=[Steps of denoising.]:steps: ' \
        '(--guidance-scale)--guidance-scale=[How strictly to follow the prompt.]:guidance-scale: ' \
        '(--scheduler)--scheduler=[Sampler\: ddim, euler, euler-a, dpm++2m, dpm++2m-karras, unipc, lcm ...]:scheduler: ' \
        '(--clip-skip)--clip-skip=[Layers of the text encoder to leave out at its end.]:clip-skip: ' \
        '(--seed)--seed=[Same seed, same picture; without one it is drawn and reported.]:seed: ' \
        '(--transparent)--transparent[Keep the transparency, of a model that draws with it.]' \
        '(--background)--background=[What is seen through it otherwise\: a name or #rrggbb; white.]:background: ' \
        '(--variation)--variation=[Share of the noise from another seed\: 0.1 changes a little.]:variation: ' \
        '(--variation-seed)--variation-seed=[That other seed; counts up with -n.]:variation-seed: ' \
        '(--init-image)--init-image=[Picture to begin with.]:init-image:_files' \
        '(--strength)--strength=[How much of it may change\: from 0 to 1, all.]:strength: ' \
        '(--mask)--mask=[Draw anew only where this picture is white.]:mask:_files' \
        '(--outpaint)--outpaint=[Pixels to add on every side.]:outpaint: ' \
        '(--control-image)--control-image=[Picture that the ControlNet follows.]:control-image:_files' \
        '(--control-scale)--control-scale=[How closely.]:control-scale: ' \
        '(--prompts)--prompts=[Prompts\: .txt (without lines that begin with #), .csv, .tsv, .json, .jsonl; - is stdin. Begun again, it goes on.]:prompts: ' \
        '(-n)-n[Pictures of each prompt.]:n: ' \
        '*--matrix=[Every combination of values; repeatable.]:matrix: ' \
        '*--wildcards=[Where __animal__ finds animal.txt; repeatable.]:wildcards:_files' \
        '(--batch-size)--batch-size=[Pictures drawn together.]:batch-size: ' \
        '(--skip-bad)--skip-bad[Leave bad rows out, into rejects.jsonl.]' \
        '(--score)--score=[Score pictures\: clip, a CLIP folder or Hub id.]:score: ' \
        '(--aesthetic)--aesthetic=[Score by this aesthetic head on CLIP instead.]:aesthetic:_files' \
        '(--best-of)--best-of=[Draw so many, keep the best.]:best-of: ' \
        '(--draft-steps)--draft-steps=[With --best-of\: choose among drafts of so many steps.]:draft-steps: ' \
        '(--keep)--keep=[With --best-of\: how many are kept.]:keep: ' \
        '(--min-score)--min-score=[Keep none that scores less.]:min-score: ' \
        '(-o --output)-o[Where they go; - is stdout, for one.]:output:_files' \
        '(-o --output)--output=[Where they go; - is stdout, for one.]:output:_files' \
        '(--filename)--filename=[Names of the files.]:filename: ' \
        '(--format)--format=[Of the files.]:format:(png jpeg webp)' \
        '(--quality)--quality=[1 to 100, of JPEG and WebP (100\: lossless).]:quality: ' \
        '(--overwrite)--overwrite[Replace files that are there and have the same name.]' \
        '(--no-metadata)--no-metadata[Do not write into the files how they were made.]' \
        '(--grid)--grid[Also a contact sheet, grid.jpg.]' \
        '(--webpage)--webpage[Also a gallery of the folder, index.html.]' \
        '(--preview)--preview=[Pictures in the terminal\: every step, final ones, none.]:preview:(every final none)' \
        '(--json)--json[Events as JSON lines on stdout.]' \
        '(-q --quiet)-q[No notes on stderr.]' \
        '(-q --quiet)--quiet[No notes on stderr.]' \
        '(-v --verbose)-v[More notes on stderr.]' \
        '(-v --verbose)--verbose[More notes on stderr.]' \
        '(--traceback)--traceback[Show the Python traceback of an error.]' \
        '(--from)--from=[Draw this picture again, with the changes that are given.]:from:_files' \
        '(-h --help)-h[Show this message and exit.]' \
        '(-h --help)--help[Show this message and exit.]' \
        '1:prompt: '
}

_aigc_command_finetune() {
    _arguments -s -S \
        '(-m --model)-m[Built-in name, alias, folder, file or Hub id.]:model:_aigc_model_names' \
        '(-m --model)--model=[Built-in name, alias, folder, file or Hub id.]:model:_aigc_model_names' \
        '(--device)--device=[auto, cpu, cuda, cuda\:N or mps.]:device:(auto cpu cuda mps)' \
        '(--dtype)--dtype=[Number format to compute in; what is trained stays float32.]:dtype:(auto float32 bfloat16 float16)' \
        '(--yes)--yes[Do not ask before a large download.]' \
        '*--validation=[File or folder to validate on, in place of a split; repeatable.]:validation: ' \
        '*--test=[File or folder to test on at the end; repeatable.]:test: ' \
        '(--val-split)--val-split=[Share of the rows to validate on, chosen by their hash; 0.05.]:val-split: ' \
        '(--test-split)--test-split=[Share of the rows to test on at the end; 0.]:test-split: ' \
        '(--raw)--raw[Prompts as they stand, without the chat template.]' \
        '(--instruct)--instruct[Prompts as messages to answer.]' \
        '(--train-on)--train-on=[Learn answers alone, or prompts too.]:train-on:(completion all)' \
        '(--max-length)--max-length=[Tokens of a row that are kept; the model'\''s context, at most 2048.]:max-length: ' \
        '(--packing)--packing[Several rows in one sequence; none sees another.]' \
        '(--skip-bad)--skip-bad[Leave bad rows out, into rejects.jsonl.]' \
        '(--mix)--mix[Learn rows of several formats together, such as texts and chats.]' \
        '(--method)--method=[Which weights are trained; lora. Of pictures lora or full.]:method:(full freeze lora dora qlora)' \
        '(--freeze-layers)--freeze-layers=[For freeze\: layers to leave as they are\: first\:N, last\:N, 0,2-5.]:freeze-layers: ' \
        '(--train-layers)--train-layers=[For freeze\: layers to train alone\: last\:2.]:train-layers: ' \
        '(--lora-rank)--lora-rank=[Rank of the adapters; 16.]:lora-rank: ' \
        '(--lora-alpha)--lora-alpha=[Their scale, times the rank; twice the rank, of pictures the rank.]:lora-alpha: ' \
        '(--lora-dropout)--lora-dropout=[Dropout before the adapters; 0.]:lora-dropout: ' \
        '(--target-modules)--target-modules=[Matrices that get one\: auto, all-linear, or names such as q_proj,v_proj.]:target-modules: ' \
        '(--from-scratch)--from-scratch=[Begin with a transformers config, or TOML that describes all parts; the tokenizer is trained too.]:from-scratch: ' \
        '(--vocab-size)--vocab-size=[Tokens of a tokenizer that is trained.]:vocab-size: ' \
        '(--continue)--continue=[Go on from an earlier result, with new data.]:continue: ' \
        '(--optimizer)--optimizer=[adamw unless given.]:optimizer:(adamw muon sgd adafactor)' \
        '(--learning-rate)--learning-rate=[Peak; by method and width of the model unless given, which SGD needs.]:learning-rate: ' \
        '(--schedule)--schedule=[How the rate falls; cosine unless given.]:schedule:(cosine linear constant wsd)' \
        '(--warmup)--warmup=[Share of the steps in which it rises; 0.03.]:warmup: ' \
        '(--decay)--decay=[For wsd\: share of the steps in which it falls; 0.2.]:decay: ' \
        '(--weight-decay)--weight-decay=[On matrices, not on norms and biases; 0.]:weight-decay: ' \
        '(--max-grad-norm)--max-grad-norm=[Clip gradients to this norm; 1, 0 is off.]:max-grad-norm: ' \
        '(--label-smoothing)--label-smoothing=[Share of each target spread evenly; 0.]:label-smoothing: ' \
        '(--gradient-checkpointing)--gradient-checkpointing[Less memory for a third more time.]' \
        '(--epochs)--epochs=[Passes over the data; 3.]:epochs: ' \
        '(--max-steps)--max-steps=[End after this many updates instead.]:max-steps: ' \
        '(--batch-size)--batch-size=[Rows that run together; 8.]:batch-size: ' \
        '(--gradient-accumulation-steps)--gradient-accumulation-steps=[Batches for each update of the weights; 1.]:gradient-accumulation-steps: ' \
        '(--eval-steps)--eval-steps=[Validate after so many steps; ten times in a run.]:eval-steps: ' \
        '(--save-steps)--save-steps=[Save after so many steps; after each validation.]:save-steps: ' \
        '(--keep)--keep=[Checkpoints to keep besides the best one; 2.]:keep: ' \
        '(--early-stopping-patience)--early-stopping-patience=[Stop after so many validations without a gain; 0 is off.]:early-stopping-patience: ' \
        '(--seed)--seed=[Of new weights, order and dropout; 0.]:seed: ' \
        '(--samples)--samples=[Prompts that base and tuned answer, side by side; 3. Of pictures captions that they draw; 4.]:samples: ' \
        '*--metric=[Also measure the answers; repeatable.]:metric:(exact-match bleu chrf rouge-l accuracy)' \
        '(--metric-samples)--metric-samples=[Rows whose answers are measured; 100.]:metric-samples: ' \
        '(--max-eval-samples)--max-eval-samples=[Rows that a loss is taken over; 1000, pictures 200.]:max-eval-samples: ' \
        '(--max-new-tokens)--max-new-tokens=[Length of an answer; 200.]:max-new-tokens: ' \
        '(--image)--image[Train an image model on pictures with captions.]' \
        '(--resolution)--resolution=[Side of the square whose area pictures are brought to; the model'\''s own.]:resolution: ' \
        '(--flip)--flip[Also learn mirror images, unless a caption names a side or a text.]' \
        '(--caption-dropout)--caption-dropout=[Share of the times without the caption, for guidance; 0.1.]:caption-dropout: ' \
        '(--train-text-encoder)--train-text-encoder[Train the text encoders too.]' \
        '(--min-snr-gamma)--min-snr-gamma=[Weigh easy levels of noise less (min-SNR); 5 is usual.]:min-snr-gamma: ' \
        '(--average)--average=[Keep an average of the weights, such as 0.999.]:average: ' \
        '*--sample-prompt=[Draw this at every validation; repeatable.]:sample-prompt: ' \
        '(--sample-steps)--sample-steps=[Steps of such a picture; 20.]:sample-steps: ' \
        '(--sample-seed)--sample-seed=[Seed of the first of them; 0.]:sample-seed: ' \
        '(-o --output)-o[Folder of the run and its result.]:output: ' \
        '(-o --output)--output=[Folder of the run and its result.]:output: ' \
        '(--config)--config=[A TOML file with options by their names; flags go before it.]:config:_files' \
        '(--dry-run)--dry-run[Check the data, count tokens, estimate memory and time; train nothing.]' \
        '(--resume)--resume[Go on with the run in the folder.]' \
        '(--overwrite)--overwrite[Replace the run in the folder.]' \
        '(--tensorboard)--tensorboard[Also write TensorBoard event files.]' \
        '(--html)--html[Also write report.html.]' \
        '(--json)--json[Events as JSON lines on stdout.]' \
        '(-q --quiet)-q[No notes on stderr.]' \
        '(-q --quiet)--quiet[No notes on stderr.]' \
        '(-v --verbose)-v[More notes on stderr.]' \
        '(-v --verbose)--verbose[More notes on stderr.]' \
        '(--traceback)--traceback[Show the Python traceback of an error.]' \
        '(-h --help)-h[Show this message and exit.]' \
        '(-h --help)--help[Show this message and exit.]' \
        '*:data: '
}

_aigc_command_show() {
    _arguments -s -S \
        '(--json)--json[Events as JSON lines on stdout.]' \
        '(-q --quiet)-q[No notes on stderr.]' \
        '(-q --quiet)--quiet[No notes on stderr.]' \
        '(-v --verbose)-v[More notes on stderr.]' \
        '(-v --verbose)--verbose[More notes on stderr.]' \
        '(--traceback)--traceback[Show the Python traceback of an error.]' \
        '(-h --help)-h[Show this message and exit.]' \
        '(-h --help)--help[Show this message and exit.]' \
        '*:file:_files'
}

_aigc_command_grid() {
    _arguments -s -S \
        '(-o --output)-o[The sheet\: .png, .jpg or .webp; - is stdout.]:output:_files' \
        '(-o --output)--output=[The sheet\: .png, .jpg or .webp; - is stdout.]:output:_files' \
        '(--json)--json[Events as JSON lines on stdout.]' \
        '(-q --quiet)-q[No notes on stderr.]' \
        '(-q --quiet)--quiet[No notes on stderr.]' \
        '(-v --verbose)-v[More notes on stderr.]' \
        '(-v --verbose)--verbose[More notes on stderr.]' \
        '(--traceback)--traceback[Show the Python traceback of an error.]' \
        '(--columns)--columns=[Pictures in a row; without it, a sheet about square.]:columns: ' \
        '(--cell)--cell=[Width and height of a picture'\''s place, in pixels; without it 128 to 256.]:cell: ' \
        '(--captions --no-captions)--captions[Prompt and seed below each picture, or its name.]' \
        '(--captions --no-captions)--no-captions[Prompt and seed below each picture, or its name.]' \
        '(--overwrite)--overwrite[Replace a file that is there.]' \
        '(-h --help)-h[Show this message and exit.]' \
        '(-h --help)--help[Show this message and exit.]' \
        '*:file:_files'
}

_aigc_command_upscale() {
    _arguments -s -S \
        '(-o --output)-o[Where they go.]:output:_files' \
        '(-o --output)--output=[Where they go.]:output:_files' \
        '(--json)--json[Events as JSON lines on stdout.]' \
        '(-q --quiet)-q[No notes on stderr.]' \
        '(-q --quiet)--quiet[No notes on stderr.]' \
        '(-v --verbose)-v[More notes on stderr.]' \
        '(-v --verbose)--verbose[More notes on stderr.]' \
        '(--traceback)--traceback[Show the Python traceback of an error.]' \
        '(--scale)--scale=[How many times as wide and high; without it the model'\''s own, or 4.]:scale: ' \
        '(-m --model)-m[Weights of ESRGAN or its kin; without them Lanczos\: no detail.]:model:_files' \
        '(-m --model)--model=[Weights of ESRGAN or its kin; without them Lanczos\: no detail.]:model:_files' \
        '(--tile)--tile=[Side of the parts that a model sees, in pixels\: less takes less memory.]:tile: ' \
        '(--device)--device=[auto, cpu, cuda, cuda\:N or mps.]:device:(auto cpu cuda mps)' \
        '(--dtype)--dtype=[Number format of the model'\''s weights.]:dtype:(auto float32 bfloat16 float16)' \
        '(--overwrite)--overwrite[Replace files that are there.]' \
        '(--skip-bad)--skip-bad[Leave bad pictures out, and say which.]' \
        '(-h --help)-h[Show this message and exit.]' \
        '(-h --help)--help[Show this message and exit.]' \
        '*:file:_files'
}

_aigc_command_export() {
    _arguments -s -S \
        '(--to)--to=[A whole model, an adapter, or a GGUF file.]:to:(merged adapter gguf)' \
        '(-o --output)-o[The folder or .gguf file to write; a GGUF may go into a folder.]:output:_files' \
        '(-o --output)--output=[The folder or .gguf file to write; a GGUF may go into a folder.]:output:_files' \
        '(--json)--json[Events as JSON lines on stdout.]' \
        '(-q --quiet)-q[No notes on stderr.]' \
        '(-q --quiet)--quiet[No notes on stderr.]' \
        '(-v --verbose)-v[More notes on stderr.]' \
        '(-v --verbose)--verbose[More notes on stderr.]' \
        '(--traceback)--traceback[Show the Python traceback of an error.]' \
        '(-m --model)-m[The adapter'\''s base, if it is not where it was in training.]:model:_aigc_model_names' \
        '(-m --model)--model=[The adapter'\''s base, if it is not where it was in training.]:model:_aigc_model_names' \
        '(--dtype)--dtype=[Number format of --to merged; without it, the base'\''s own.]:dtype:(auto float32 bfloat16 float16)' \
        '(--gguf-type)--gguf-type=[Number format of --to gguf; without it, f16.]:gguf-type:(f16 bf16 q8_0)' \
        '(--overwrite)--overwrite[Replace an earlier export.]' \
        '(--yes)--yes[Do not ask before a large download of the base.]' \
        '(-h --help)-h[Show this message and exit.]' \
        '(-h --help)--help[Show this message and exit.]' \
        '1:run:_files'
}

_aigc_command_report() {
    _arguments -s -S \
        '(--json)--json[Events as JSON lines on stdout.]' \
        '(-q --quiet)-q[No notes on stderr.]' \
        '(-q --quiet)--quiet[No notes on stderr.]' \
        '(-v --verbose)-v[More notes on stderr.]' \
        '(-v --verbose)--verbose[More notes on stderr.]' \
        '(--traceback)--traceback[Show the Python traceback of an error.]' \
        '(--html)--html=[Write one self-contained HTML page; - is stdout.]:html:_files' \
        '(-h --help)-h[Show this message and exit.]' \
        '(-h --help)--help[Show this message and exit.]' \
        '1:run:_files'
}

_aigc_command_doctor() {
    _arguments -s -S \
        '(--json)--json[Events as JSON lines on stdout.]' \
        '(-q --quiet)-q[No notes on stderr.]' \
        '(-q --quiet)--quiet[No notes on stderr.]' \
        '(-v --verbose)-v[More notes on stderr.]' \
        '(-v --verbose)--verbose[More notes on stderr.]' \
        '(--traceback)--traceback[Show the Python traceback of an error.]' \
        '(-h --help)-h[Show this message and exit.]' \
        '(-h --help)--help[Show this message and exit.]'
}

_aigc_command_completion() {
    _arguments -s -S \
        '(-h --help)-h[Show this message and exit.]' \
        '(-h --help)--help[Show this message and exit.]' \
        '1:shell:(bash zsh fish powershell)'
}

_aigc_command_models() {
    local curcontext="$curcontext" state line
    typeset -A opt_args
    local -a commands=(
        'list:Show built-in models, your aliases, what is downloaded, and what the catalogue has.'
        'show:Show all that is known of a model, without loading it.'
        'pull:Download a model, or its newest revision, and print where it lies.'
        'rm:Delete a downloaded model, all its revisions.'
        'alias:Show your aliases, or give a model a name of your own.'
        'fit:Tell from its config whether a model fits this machine, and in which dtype; exits 4 if it does not.'
    )
    _arguments -C \
        '(-h --help)-h[Show this message and exit.]' \
        '(-h --help)--help[Show this message and exit.]' \
        '1: :->command' '*:: :->rest' && return
    case $state in
        command) _describe command commands ;;
        rest)
            case $words[1] in
                list) _aigc_command_models_list ;;
                show) _aigc_command_models_show ;;
                pull) _aigc_command_models_pull ;;
                rm) _aigc_command_models_rm ;;
                alias) _aigc_command_models_alias ;;
                fit) _aigc_command_models_fit ;;
            esac
            ;;
    esac
}

_aigc_command_models_list() {
    _arguments -s -S \
        '(--json)--json[Events as JSON lines on stdout.]' \
        '(-q --quiet)-q[No notes on stderr.]' \
        '(-q --quiet)--quiet[No notes on stderr.]' \
        '(-v --verbose)-v[More notes on stderr.]' \
        '(-v --verbose)--verbose[More notes on stderr.]' \
        '(--traceback)--traceback[Show the Python traceback of an error.]' \
        '(-h --help)-h[Show this message and exit.]' \
        '(-h --help)--help[Show this message and exit.]'
}

_aigc_command_models_show() {
    _arguments -s -S \
        '(--json)--json[Events as JSON lines on stdout.]' \
        '(-q --quiet)-q[No notes on stderr.]' \
        '(-q --quiet)--quiet[No notes on stderr.]' \
        '(-v --verbose)-v[More notes on stderr.]' \
        '(-v --verbose)--verbose[More notes on stderr.]' \
        '(--traceback)--traceback[Show the Python traceback of an error.]' \
        '(-h --help)-h[Show this message and exit.]' \
        '(-h --help)--help[Show this message and exit.]' \
        '1:name:_aigc_model_names'
}

_aigc_command_models_pull() {
    _arguments -s -S \
        '(--json)--json[Events as JSON lines on stdout.]' \
        '(-q --quiet)-q[No notes on stderr.]' \
        '(-q --quiet)--quiet[No notes on stderr.]' \
        '(-v --verbose)-v[More notes on stderr.]' \
        '(-v --verbose)--verbose[More notes on stderr.]' \
        '(--traceback)--traceback[Show the Python traceback of an error.]' \
        '(--yes)--yes[Do not ask.]' \
        '(-h --help)-h[Show this message and exit.]' \
        '(-h --help)--help[Show this message and exit.]' \
        '1:name:_aigc_model_names'
}

_aigc_command_models_rm() {
    _arguments -s -S \
        '(--json)--json[Events as JSON lines on stdout.]' \
        '(-q --quiet)-q[No notes on stderr.]' \
        '(-q --quiet)--quiet[No notes on stderr.]' \
        '(-v --verbose)-v[More notes on stderr.]' \
        '(-v --verbose)--verbose[More notes on stderr.]' \
        '(--traceback)--traceback[Show the Python traceback of an error.]' \
        '(--yes)--yes[Do not ask.]' \
        '(-h --help)-h[Show this message and exit.]' \
        '(-h --help)--help[Show this message and exit.]' \
        '1:name:_aigc_model_names'
}

_aigc_command_models_alias() {
    _arguments -s -S \
        '(--json)--json[Events as JSON lines on stdout.]' \
        '(-q --quiet)-q[No notes on stderr.]' \
        '(-q --quiet)--quiet[No notes on stderr.]' \
        '(-v --verbose)-v[More notes on stderr.]' \
        '(-v --verbose)--verbose[More notes on stderr.]' \
        '(--traceback)--traceback[Show the Python traceback of an error.]' \
        '(--remove)--remove[Forget the alias.]' \
        '(-h --help)-h[Show this message and exit.]' \
        '(-h --help)--help[Show this message and exit.]' \
        '1:name: ' \
        '2:target:_aigc_model_names'
}

_aigc_command_models_fit() {
    _arguments -s -S \
        '(--json)--json[Events as JSON lines on stdout.]' \
        '(-q --quiet)-q[No notes on stderr.]' \
        '(-q --quiet)--quiet[No notes on stderr.]' \
        '(-v --verbose)-v[More notes on stderr.]' \
        '(-v --verbose)--verbose[More notes on stderr.]' \
        '(--traceback)--traceback[Show the Python traceback of an error.]' \
        '(-h --help)-h[Show this message and exit.]' \
        '(-h --help)--help[Show this message and exit.]' \
        '1:name:_aigc_model_names'
}

_aigc_command_config() {
    local curcontext="$curcontext" state line
    typeset -A opt_args
    local -a commands=(
        'list:Show every setting: its value, where that comes from, and what it is for.'
        'get:Print the value in force; an empty line where there is none.'
        'set:Set a value in your own file.'
        'unset:Take a value out of your own file.'
        'path:Print where your own file is, or would be.'
    )
    _arguments -C \
        '(-h --help)-h[Show this message and exit.]' \
        '(-h --help)--help[Show this message and exit.]' \
        '1: :->command' '*:: :->rest' && return
    case $state in
        command) _describe command commands ;;
        rest)
            case $words[1] in
                list) _aigc_command_config_list ;;
                get) _aigc_command_config_get ;;
                set) _aigc_command_config_set ;;
                unset) _aigc_command_config_unset ;;
                path) _aigc_command_config_path ;;
            esac
            ;;
    esac
}

_aigc_command_config_list() {
    _arguments -s -S \
        '(--json)--json[Events as JSON lines on stdout.]' \
        '(-q --quiet)-q[No notes on stderr.]' \
        '(-q --quiet)--quiet[No notes on stderr.]' \
        '(-v --verbose)-v[More notes on stderr.]' \
        '(-v --verbose)--verbose[More notes on stderr.]' \
        '(--traceback)--traceback[Show the Python traceback of an error.]' \
        '(-h --help)-h[Show this message and exit.]' \
        '(-h --help)--help[Show this message and exit.]'
}

_aigc_command_config_get() {
    _arguments -s -S \
        '(--json)--json[Events as JSON lines on stdout.]' \
        '(-q --quiet)-q[No notes on stderr.]' \
        '(-q --quiet)--quiet[No notes on stderr.]' \
        '(-v --verbose)-v[More notes on stderr.]' \
        '(-v --verbose)--verbose[More notes on stderr.]' \
        '(--traceback)--traceback[Show the Python traceback of an error.]' \
        '(-h --help)-h[Show this message and exit.]' \
        '(-h --help)--help[Show this message and exit.]' \
        '1:key:(model image_model device dtype system temperature top_p top_k min_p repetition_penalty max_new_tokens truncate base_url api_key_env timeout)'
}

_aigc_command_config_set() {
    _arguments -s -S \
        '(--json)--json[Events as JSON lines on stdout.]' \
        '(-q --quiet)-q[No notes on stderr.]' \
        '(-q --quiet)--quiet[No notes on stderr.]' \
        '(-v --verbose)-v[More notes on stderr.]' \
        '(-v --verbose)--verbose[More notes on stderr.]' \
        '(--traceback)--traceback[Show the Python traceback of an error.]' \
        '(-h --help)-h[Show this message and exit.]' \
        '(-h --help)--help[Show this message and exit.]' \
        '1:key:(model image_model device dtype system temperature top_p top_k min_p repetition_penalty max_new_tokens truncate base_url api_key_env timeout)' \
        '2:value:_aigc_setting'
}

_aigc_command_config_unset() {
    _arguments -s -S \
        '(--json)--json[Events as JSON lines on stdout.]' \
        '(-q --quiet)-q[No notes on stderr.]' \
        '(-q --quiet)--quiet[No notes on stderr.]' \
        '(-v --verbose)-v[More notes on stderr.]' \
        '(-v --verbose)--verbose[More notes on stderr.]' \
        '(--traceback)--traceback[Show the Python traceback of an error.]' \
        '(-h --help)-h[Show this message and exit.]' \
        '(-h --help)--help[Show this message and exit.]' \
        '1:key:(model image_model device dtype system temperature top_p top_k min_p repetition_penalty max_new_tokens truncate base_url api_key_env timeout)'
}

_aigc_command_config_path() {
    _arguments -s -S \
        '(--json)--json[Events as JSON lines on stdout.]' \
        '(-q --quiet)-q[No notes on stderr.]' \
        '(-q --quiet)--quiet[No notes on stderr.]' \
        '(-v --verbose)-v[More notes on stderr.]' \
        '(-v --verbose)--verbose[More notes on stderr.]' \
        '(--traceback)--traceback[Show the Python traceback of an error.]' \
        '(-h --help)-h[Show this message and exit.]' \
        '(-h --help)--help[Show this message and exit.]'
}

if [[ ${funcstack[1]} == _aigc ]]; then
    _aigc "$@"
else
    compdef _aigc aigc
fi
